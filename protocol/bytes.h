// Byte classes of the HTTP grammar, and the search that skips a header's value eight bytes at a time.
//
//   while (p != end && Is(*p, kToken)) ++p;          // a header's name
//   p = FindControl(p, end);                         // a header's value, up to its CR
//
// Internal to protocol/. Thread-safe. Never parks.
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

constexpr bool IsAlnum(int c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

constexpr std::array<uint8_t, 256> MakeClasses() {
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  constexpr std::string_view kRegNameMarks = "-._~!$&'()*+,;=";
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    uint8_t bits = 0;
    const bool alnum = IsAlnum(c);
    if (alnum || (c != 0 && c < 0x80 && kTokenMarks.find(static_cast<char>(c)) != kTokenMarks.npos)) bits |= kToken;
    if (alnum || (c != 0 && c < 0x80 && kRegNameMarks.find(static_cast<char>(c)) != kRegNameMarks.npos)) bits |= kRegName;
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

// The first byte of [p, end) that IsControl, or `end`.
inline const char* FindControl(const char* p, const char* end) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = kOnes * 0x80;
  while (end - p >= 8) {
    uint64_t word;
    std::memcpy(&word, p, sizeof(word));
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    // Each term sets the high bit of a byte that matches. A borrow may set one too many, but only above a true match,
    // so the lowest is exact.
    const uint64_t del = word ^ (kOnes * 0x7f);
    uint64_t hits = ((word - kOnes * 0x20) & ~word) | ((del - kOnes) & ~del);
    hits &= kHighs;
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

// Whether `text` is `lower`, which is in lower case, in any case of ASCII letters.
inline bool EqualsIgnoreCase(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != lower[i]) return false;
  }
  return true;
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
