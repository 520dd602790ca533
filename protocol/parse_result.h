// What came of looking for a request head in some bytes.
//
//   ParseResult result = ParseRequestHead(bytes, limits, &head);
//   if (result.kind == ParseResult::Kind::kError) Refuse(result.status, result.reason);
//
// Plain data.
#pragma once

#include <cstddef>
#include <cstdint>

namespace greenring::protocol {

struct ParseResult {
  enum class Kind : uint8_t {
    kComplete,    // a whole head: `head_bytes` were consumed
    kIncomplete,  // right so far; more bytes are needed
    kError,       // refuse with `status` and close: where the next request starts is not known
  };

  Kind kind = Kind::kIncomplete;
  size_t head_bytes = 0;         // with kComplete: up to and with the empty line, and a leading CRLF if there was one
  int status = 0;                // with kError: 400, 413, 414, 417, 431, 501 or 505
  const char* reason = nullptr;  // with kError: static text, e.g. "both Content-Length and Transfer-Encoding"

  static ParseResult Complete(size_t head_bytes) { return {Kind::kComplete, head_bytes, 0, nullptr}; }
  static ParseResult Incomplete() { return {}; }
  static ParseResult Error(int status, const char* reason) { return {Kind::kError, 0, status, reason}; }
};

}  // namespace greenring::protocol
