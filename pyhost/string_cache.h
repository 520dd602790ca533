// Remembers str objects by their bytes, so that values which repeat from request to request (Host, User-Agent, paths)
// are neither allocated nor hashed again.
//
//   StringCache<256> values;
//   PyRef host = values.Get("example.org");       // null with MemoryError
//
// Direct-mapped: a value takes the place of the one that was there, so size and cost are bounded whatever clients send.
// Owns its strings. GIL held. Never parks.
#pragma once

#include "pyhost/python.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "pyhost/py_ref.h"
#include "pyhost/py_text.h"

namespace greenring::pyhost {

// A quick hash of short byte strings; good in its high bits. Not for tables that an attacker must not collide: a direct
// mapped cache has nothing to overflow.
inline uint64_t HashBytes(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  const char* at = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = left;
  for (; left > 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 29;
  }
  uint64_t last = 0;
  if (left == 8) {
    std::memcpy(&last, at, 8);
  } else {
    for (size_t i = 0; i < left; ++i) last = last << 8 | static_cast<unsigned char>(at[i]);
  }
  hash = (hash ^ last) * kMultiplier;
  return hash ^ hash >> 32;
}

template <size_t kSlots>
class StringCache {
 public:
  // Longer values rarely repeat (cookies, tokens) and would be kept for long: they are made anew.
  static constexpr size_t kBytesMax = 192;

  // The str with one character for each byte (latin-1).
  PyRef Get(std::string_view bytes) {
    return Get(bytes, [](std::string_view missing) { return FromLatin1(missing); });
  }

  // The same, where `make(bytes)` makes a str that is not in the cache.
  template <typename Make>
  PyRef Get(std::string_view bytes, Make make) {
    if (bytes.size() > kBytesMax) return make(bytes);
    PyRef& slot = slots_[HashBytes(bytes) % kSlots];
    std::string_view cached;
    if (!slot || !Latin1View(slot.get(), &cached) || cached != bytes) slot = make(bytes);
    return PyRef::Share(slot.get());
  }

 private:
  std::array<PyRef, kSlots> slots_;
};

}  // namespace greenring::pyhost
