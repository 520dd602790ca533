// Finds the end of a request head that arrives in pieces.
//
//   HeadScanner scanner;
//   received.append(piece);
//   ParseResult result = scanner.Scan(received, limits);       // looks only at what is new
//   if (result.kind == ParseResult::Kind::kComplete) result = ParseRequestHead(received, limits, &head);
//
// It remembers how far it looked, so that a client that sends byte by byte costs O(n) in total. It refuses early what
// no further byte can repair: a bare CR or LF, a NUL, a limit. The rest is ParseRequestHead's to judge, which never
// accepts a head that the scanner refuses. One thread at a time. Never parks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/limits.h"
#include "protocol/parse_result.h"

namespace greenring::protocol {

class HeadScanner {
 public:
  // Forgets everything: the next Scan starts a new head.
  void Reset() { *this = HeadScanner(); }

  // `bytes` is all of the head that was received, from its first byte: what the last call was given, and more (their
  // address may have changed). Not to be called again after kComplete or kError without Reset. Never parks.
  ParseResult Scan(std::string_view bytes, const Limits& limits);

 private:
  uint32_t scanned_ = 0;     // bytes already looked at
  uint32_t line_start_ = 0;  // where the line being read began
  uint32_t line_count_ = 0;  // finished lines, the leading empty one not counted
  uint32_t leading_crlf_count_ = 0;
};

}  // namespace greenring::protocol
