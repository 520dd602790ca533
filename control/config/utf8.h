// Whether bytes are what Protobuf's strings, YAML and JSON may hold: UTF-8, without surrogates and overlong forms.
//
// Thread-safe; never blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace greenring::control {

// The offset of the first byte that does not belong there; `text.size()` when all is well.
inline size_t FirstInvalidUtf8(std::string_view text) {
  constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};  // by the number of continuation bytes
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t more = lead < 0x80 ? 0 : (lead >> 5) == 0x6 ? 1 : (lead >> 4) == 0xe ? 2 : (lead >> 3) == 0x1e ? 3 : 4;
    if (more == 4 || text.size() - i <= more) return i;
    uint32_t letter = more == 0 ? lead : lead & (0x3fu >> more);
    for (size_t j = 1; j <= more; ++j) {
      const auto byte = static_cast<unsigned char>(text[i + j]);
      if ((byte & 0xc0) != 0x80) return i;
      letter = (letter << 6) | (byte & 0x3f);
    }
    if (letter < kLeast[more] || letter > 0x10ffff || (letter >= 0xd800 && letter <= 0xdfff)) return i;
    i += more + 1;
  }
  return text.size();
}

inline bool IsUtf8(std::string_view text) { return FirstInvalidUtf8(text) == text.size(); }

}  // namespace greenring::control
