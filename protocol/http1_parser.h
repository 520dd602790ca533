// The HTTP/1.x request head parser: strict by RFC 9112, zero-copy, one pass, no state.
//
//   RequestHead head;
//   ParseResult result = ParseRequestHead(bytes, Limits{}, &head);
//   if (result.kind == ParseResult::Kind::kComplete) bytes.remove_prefix(result.head_bytes);   // then the body
//   if (result.kind == ParseResult::Kind::kError) Refuse(result.status, result.reason);        // and close
//
// What is ambiguous is refused, never guessed. A verdict on some bytes stays the verdict when more bytes follow them.
// docs/PARSER.md has the rules and what they cost. Thread-safe. Never parks.
#pragma once

#include <string_view>

#include "protocol/head_scanner.h"
#include "protocol/limits.h"
#include "protocol/parse_result.h"
#include "protocol/percent_decode.h"
#include "protocol/request_head.h"

namespace greenring::protocol {

// Parses the head that `bytes` starts with; bytes after it are not looked at. `head` is valid only with kComplete, and
// only while `bytes` stays where it is. Allocates only when a request has more headers than any before it in `head`.
// For a head that arrives in pieces ask HeadScanner first: each call here starts from the beginning. Never parks.
ParseResult ParseRequestHead(std::string_view bytes, const Limits& limits, RequestHead* head);

}  // namespace greenring::protocol
