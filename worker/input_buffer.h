// Received bytes that wait to be used: appended at the end, consumed from the front.
//
//   InputBuffer input;
//   input.Append(data);
//   ParseResult result = ParseRequestHead(input.view(), limits, &head);    // views stay valid until the next Append
//   input.Consume(result.head_bytes);                                       // and across Consume
//
// Keeps its memory when it runs empty; Reset gives unusually much of it back. Not thread-safe. Never parks.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/check.h"

namespace greenring::worker {

class InputBuffer {
 public:
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }

  void Append(std::string_view data) {
    if (data.size() > capacity_ - end_) MakeRoom(data.size());
    if (!data.empty()) std::memcpy(data_.get() + end_, data.data(), data.size());
    end_ += data.size();
  }

  void Consume(size_t size) {
    GREENRING_DCHECK(size <= end_ - begin_);
    begin_ += size;
  }

  // The contents, with `size` bytes before them: the last that were consumed, since when nothing was appended.
  std::string_view ViewFrom(size_t size) const {
    GREENRING_DCHECK(size <= begin_);
    return {data_.get() + begin_ - size, end_ - begin_ + size};
  }

  // Forgets the contents.
  void Clear() { begin_ = end_ = 0; }

  // As Clear, and keeps at most kKeptBytesMax of memory.
  void Reset() {
    Clear();
    if (capacity_ <= kKeptBytesMax) return;
    data_.reset();
    capacity_ = 0;
  }

 private:
  static constexpr size_t kCapacityBytesMin = 512;  // a head arrives whole as a rule, and takes what it needs at once
  static constexpr size_t kKeptBytesMax = 16 * 1024;

  void MakeRoom(size_t size) {
    const size_t used = end_ - begin_;
    size_t capacity = capacity_ < kCapacityBytesMin ? kCapacityBytesMin : capacity_;
    while (capacity < used + size) capacity *= 2;
    if (capacity == capacity_) {
      std::memmove(data_.get(), data_.get() + begin_, used);
    } else {
      std::unique_ptr<char[]> grown(new char[capacity]);
      if (used > 0) std::memcpy(grown.get(), data_.get() + begin_, used);
      data_ = std::move(grown);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = used;
  }

  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace greenring::worker
