// The parser of the uwsgi protocol's request packet: strict, zero-copy, no state.
//
//   RequestHead head;
//   ParseResult result = ParseUwsgiHead(bytes, Limits{}, &head);
//   if (result.kind == ParseResult::Kind::kComplete) bytes.remove_prefix(result.head_bytes);   // then the body
//   if (result.kind == ParseResult::Kind::kError) Refuse(result.status, result.reason);        // and close
//
// A packet is four bytes (modifier1, the size of what follows as two bytes, the lower one first, and modifier2), then
// variables as CGI has them: size of the name, name, size of the value, value. What is ambiguous is refused, never
// guessed; docs/UWSGI_PROTOCOL.md has the rules. A verdict on some bytes stays the verdict when more bytes follow them.
// Thread-safe. Never parks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/limits.h"
#include "protocol/parse_result.h"
#include "protocol/request_head.h"

namespace greenring::protocol {

// What a packet is for. There are more, which this server refuses.
inline constexpr uint8_t kUwsgiModifierWsgi = 0;
inline constexpr uint8_t kUwsgiModifierPing = 100;  // a web server asks whether somebody is there

// The whole answer to a ping: another one, with modifier2 1.
inline constexpr std::string_view kUwsgiPong("\x64\0\0\1", 4);

// Variables that a web server sends beside the headers of its client (`include uwsgi_params` has 17), for which
// Limits::header_count_max is the bound. Exceeding it is 431.
inline constexpr uint32_t kUwsgiParametersMax = 128;

// Parses the packet that `bytes` starts with; bytes after it are not looked at, nor is it before it is complete, but
// for its first four bytes. `head` is valid only with kComplete, and only while `bytes` stays where it is. Never parks.
ParseResult ParseUwsgiHead(std::string_view bytes, const Limits& limits, RequestHead* head);

}  // namespace greenring::protocol
