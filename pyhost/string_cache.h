// Remembers str objects by their bytes, so that values which repeat from request to request (Host, User-Agent, paths)
// are neither allocated nor hashed again.
//
//   StringCache<256> values;
//   PyRef host = values.Get("example.org");       // null with MemoryError
//
// Direct-mapped: a value takes the place of the one that was there, so size and cost are bounded whatever clients send.
// Owns its strings. GIL held. Never parks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "pyhost/py_ref.h"
#include "pyhost/py_text.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

// A hash of a string's length and at most 40 of its bytes, spread over it: long values that differ elsewhere share a
// slot, which costs a cache no more than a miss. Its low bits are good. Not for tables that an attacker must not fill.
inline uint64_t SampleHash(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  const size_t size = bytes.size();
  const auto word = [&bytes](size_t at) {
    uint64_t value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  uint64_t hash = size * kMultiplier;
  if (size >= 8) {
    hash ^= word(0) * 0xff51afd7ed558ccd ^ word(size - 8) * 0xc4ceb9fe1a85ec53;
    if (size > 16) hash ^= word(size / 4) * kMultiplier ^ word(size / 2 - 4) ^ word(size * 3 / 4 - 4) << 1;
  } else {
    for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  }
  // Products carry upwards only: fold the high bits down before and after the last one.
  hash = (hash ^ hash >> 32) * kMultiplier;
  return hash ^ hash >> 32;
}

template <size_t kSlots>
class StringCache {
 public:
  // Longer values rarely repeat (cookies, tokens) and would be kept for long: they are made anew.
  static constexpr size_t kBytesMax = 192;

  // The str with one character for each byte (latin-1).
  PyRef Get(std::string_view bytes) {
    if (bytes.size() > kBytesMax) return FromLatin1(bytes);
    PyRef& slot = slots_[SampleHash(bytes) % kSlots];
    std::string_view cached;
    if (!slot || !Latin1View(slot.get(), &cached) || cached != bytes) slot = FromLatin1(bytes);
    return PyRef::Share(slot.get());
  }

 private:
  std::array<PyRef, kSlots> slots_;
};

}  // namespace greenring::pyhost
