// Every maximum of the HTTP/1.1 layer, each with its reason.
//
//   Limits limits;                              // the defaults
//   limits.body_bytes_max = 64 * kMebibyte;     // what the operator configured
//   ParseResult result = ParseRequestHead(bytes, limits, &head);
//
// One Limits lives as long as the parsers and decoders that were given it. Plain data: thread-safe while unchanged.
#pragma once

#include <cstdint>
#include <limits>

namespace greenring::protocol {

// WSGI maps '-' and '_' in a header's name to the same environ key, so `X_Real_IP` could pass for the `X-Real-IP` that
// a proxy in front set. What to do with a name that holds '_':
enum class UnderscoreNames : uint8_t {
  kDrop,    // leave the header out, silently, as nginx does
  kRefuse,  // 400
  kAllow,   // hand it on; only for clients that are all trusted
};

struct Limits {
  // The request line without its CRLF. 8190 is Apache's LimitRequestLine: URLs that work elsewhere work here. Exceeding
  // it is 414.
  uint32_t request_line_bytes_max = 8190;

  // A method that is longer cannot be one that any application knows (the longest registered, UPDATEREDIRECTREF, has
  // 17). Exceeding it is 501.
  uint32_t method_bytes_max = 32;

  // Header lines of one request, dropped ones included. Browsers behind two proxies send about 40. Exceeding it is 431.
  uint32_t header_count_max = 100;

  // One header line without its CRLF: Apache's LimitRequestFieldSize; cookies are what comes near. Exceeding it is 431.
  uint32_t header_field_bytes_max = 8190;

  // The whole head, from the first byte to the empty line. Bounds what a half-read connection may make us hold; less
  // than header_count_max full lines, because no honest client fills them all. Exceeding it is 431.
  uint32_t head_bytes_max = 64 * 1024;

  // The body's data, decoded. Negative: none, because the body is streamed and the application is the judge. Exceeding
  // it is 413.
  int64_t body_bytes_max = -1;

  // The extensions of one chunk (they are read and forgotten). Signed uploads use about 90 bytes; without a bound a
  // client could make us read for ever without sending data.
  uint32_t chunk_extension_bytes_max = 256;

  // The trailer section (read and forgotten): lines, and bytes with their CRLFs, enough for a longest line. Checksums
  // and signatures are what it carries. Exceeding either is 431.
  uint32_t trailer_count_max = 32;
  uint32_t trailer_bytes_max = 8192;

  UnderscoreNames underscore_names = UnderscoreNames::kDrop;
};

// RFC 9112 section 2.2: a server should ignore at least one empty line before a request line. Old browsers sent one
// after a POST.
inline constexpr uint32_t kLeadingCrlfCountMax = 1;

// Digits of a Content-Length: 10^18 - 1 bytes, and no int64_t can overflow.
inline constexpr uint32_t kContentLengthDigitsMax = 18;

// Hex digits of a chunk's size, leading zeros included: 2^60 - 1 bytes, and no int64_t can overflow.
inline constexpr uint32_t kChunkSizeDigitsMax = 15;

namespace limits_internal {
inline constexpr Limits kDefaults;
static_assert(kDefaults.method_bytes_max < kDefaults.request_line_bytes_max);
static_assert(kDefaults.request_line_bytes_max + kDefaults.header_field_bytes_max + 8 <= kDefaults.head_bytes_max,
              "a longest request line and a longest header must fit one head");
static_assert(kDefaults.trailer_bytes_max >= kDefaults.header_field_bytes_max + 2,
              "a field that may stand in the head may stand in the trailer section");
static_assert(kDefaults.trailer_count_max <= kDefaults.header_count_max);
static_assert(kContentLengthDigitsMax == std::numeric_limits<int64_t>::digits10);
static_assert(kChunkSizeDigitsMax * 4 < 63);
}  // namespace limits_internal

}  // namespace greenring::protocol
