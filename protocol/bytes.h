// Byte classes of the HTTP grammar, and the search that skips a header's value eight bytes at a time.
//
//   while (p != end && Is(*p, kToken)) ++p;          // a header's name
//   p = FindControl(p, end);                         // a header's value, up to its CR
//
// For protocol/ itself, but for EqualsIgnoreCase, which whoever looks a header up may use. Thread-safe. Never parks.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "protocol/limits.h"

namespace greenring::protocol {

enum ByteClass : uint8_t {
  kToken = 1 << 0,       // tchar of RFC 9110 section 5.6.2
  kTarget = 1 << 1,      // visible ASCII but '#': what a request target may hold
  kPath = 1 << 2,        // kTarget but '?'
  kRegName = 1 << 3,     // unreserved and sub-delims of RFC 3986: a host's name, without its %XX
  kHex = 1 << 4,         // 0-9, a-f, A-F
  kUnderscore = 1 << 5,  // '_', which WSGI cannot tell from '-'
};

namespace bytes_internal {

constexpr bool IsAlnum(int c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr std::array<uint8_t, 256> MakeClasses() {
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  constexpr std::string_view kRegNameMarks = "-._~!$&'()*+,;=";
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    uint8_t bits = 0;
    const bool alnum = IsAlnum(c);
    if (alnum || (c != 0 && c < 0x80 && kTokenMarks.find(static_cast<char>(c)) != kTokenMarks.npos)) bits |= kToken;
    if (alnum || (c != 0 && c < 0x80 && kRegNameMarks.find(static_cast<char>(c)) != kRegNameMarks.npos))
      bits |= kRegName;
    if (c > 0x20 && c < 0x7f && c != '#') bits |= c == '?' ? kTarget : kTarget | kPath;
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) bits |= kHex;
    if (c == '_') bits |= kUnderscore;
    classes[c] = bits;
  }
  return classes;
}

inline constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

}  // namespace bytes_internal

inline uint8_t ClassesOf(char c) { return bytes_internal::kClasses[static_cast<unsigned char>(c)]; }
inline bool Is(char c, ByteClass byte_class) { return (ClassesOf(c) & byte_class) != 0; }
inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// A control byte that no header value may hold: all below 0x20 but HTAB, and DEL.
inline bool IsControl(char c) {
  const unsigned char byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

// The value of a hex digit. Precondition: Is(c, kHex).
inline int HexValue(char c) { return IsDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10; }

namespace bytes_internal {

inline constexpr uint64_t kOnes = 0x0101010101010101;

template <typename Word>
inline Word Load(const char* p) {
  Word word;
  std::memcpy(&word, p, sizeof(word));
  if constexpr (std::endian::native == std::endian::big)
    word = sizeof(Word) == 8 ? __builtin_bswap64(word) : __builtin_bswap32(word);
  return word;
}

// Sets the high bit of each byte below 0x20 or equal to 0x7f. A borrow may set one too many, but only above a true
// match: zero means none, and the lowest bit is exact.
inline uint64_t ControlBits(uint64_t word) {
  const uint64_t del = word ^ (kOnes * 0x7f);
  return (((word - kOnes * 0x20) & ~word) | ((del - kOnes) & ~del)) & (kOnes * 0x80);
}

}  // namespace bytes_internal

// The first byte of [p, end) that IsControl, or `end`.
inline const char* FindControl(const char* p, const char* end) {
  while (end - p >= 8) {
    const uint64_t hits = bytes_internal::ControlBits(bytes_internal::Load<uint64_t>(p));
    if (hits == 0) [[likely]] {
      p += 8;
      continue;
    }
    p += std::countr_zero(hits) / 8;
    if (*p != '\t') return p;
    ++p;
  }
  while (p != end && !IsControl(*p)) ++p;
  return p;
}

// Whether any byte of `text` IsControl. Made for short texts: the last word overlaps the one before it.
inline bool HasControl(std::string_view text) {
  using bytes_internal::Load;
  const char* const p = text.data();
  const size_t size = text.size();
  uint64_t hits = 0;
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size; i += 8) hits |= bytes_internal::ControlBits(Load<uint64_t>(p + i));
    hits |= bytes_internal::ControlBits(Load<uint64_t>(p + size - 8));
    if (hits == 0) [[likely]]
      return false;
  } else if (size >= 4) {
    hits = bytes_internal::ControlBits(uint64_t{Load<uint32_t>(p)} << 32 | Load<uint32_t>(p + size - 4));
    if (hits == 0) [[likely]]
      return false;
  }
  return FindControl(p, p + size) != p + size;  // a short text, a control byte, or a HTAB
}

// Whether `text` is a token of RFC 9110 section 5.6.2.
inline bool IsTokenText(std::string_view text) {
  uint8_t all = kToken;
  for (char c : text) all &= ClassesOf(c);
  return all != 0 && !text.empty();
}

// Whether `text` is `lower`, which is in lower case, in any case of ASCII letters.
inline bool EqualsIgnoreCase(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != lower[i]) return false;
  }
  return true;
}

// The same for a token (it holds no byte that `| 0x20` would turn into a letter or '-' but their own capitals) against
// a constant of 4 bytes or more: a few comparisons of whole words once the compiler has seen `lower`.
[[gnu::always_inline]] inline bool TokenEqualsIgnoreCase(std::string_view token, std::string_view lower) {
  if (token.size() != lower.size()) return false;
  const auto equal_at = [&](auto ones, size_t offset) {
    using Word = decltype(ones);
    Word a, b;
    std::memcpy(&a, token.data() + offset, sizeof(Word));
    std::memcpy(&b, lower.data() + offset, sizeof(Word));
    return (a | (ones * 0x20)) == b;
  };
  if (lower.size() < 8) {
    constexpr uint32_t kOnes = 0x01010101;
    return equal_at(kOnes, 0) && equal_at(kOnes, lower.size() - 4);
  }
  constexpr uint64_t kOnes = 0x0101010101010101;
  for (size_t offset = 0; offset + 8 < lower.size(); offset += 8) {
    if (!equal_at(kOnes, offset)) return false;
  }
  return equal_at(kOnes, lower.size() - 8);
}

// Without the blanks around it (OWS of RFC 9110 section 5.6.3).
inline std::string_view StripBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

// The number that `text` spells in decimal digits and nothing else; -1 when it is no such number, is empty or has more
// than kContentLengthDigitsMax digits.
inline int64_t ParseContentLength(std::string_view text) {
  if (text.empty() || text.size() > kContentLengthDigitsMax) return -1;
  int64_t value = 0;
  for (char c : text) {
    if (!IsDigit(c)) return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace greenring::protocol
