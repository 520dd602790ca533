// Bytes in an allocation of exactly their size, so that AddressSanitizer sees any read beyond them. For fuzzers.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace greenring::protocol {

class ExactBytes {
 public:
  explicit ExactBytes(std::string_view bytes) : bytes_(new char[bytes.size()]), size_(bytes.size()) {
    bytes.copy(bytes_.get(), size_);
  }
  std::string_view view() const { return std::string_view(bytes_.get(), size_); }

 private:
  const std::unique_ptr<char[]> bytes_;
  const size_t size_;
};

// Calls `check(prefix)` with prefixes of `input`, each in an allocation of its own: with every one of a short input,
// with many of a long one, the shortest first, never with the whole.
template <typename Check>
void ForPrefixes(std::string_view input, Check check) {
  const size_t step = input.size() / 256 + 1;
  for (size_t size = 0; size < input.size(); size += step) check(ExactBytes(input.substr(0, size)).view());
}

}  // namespace greenring::protocol
