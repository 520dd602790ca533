// Whole responses that the server gives by itself, without an application.
//
//   std::string bytes = SimpleResponse(431, "more than 100 header lines", {.keep_alive = false});
//   std::string busy = SimpleResponse(503, "all cores are busy", {.keep_alive = true, .retry_after_s = 1});
//
// For errors and overload, not for the fast path: each call allocates. Thread-safe. Never parks.
#pragma once

#include <string>
#include <string_view>

namespace greenring::protocol {

struct SimpleResponseOptions {
  bool keep_alive = false;          // false adds `Connection: close`
  bool http10 = false;              // the client speaks 1.0: keep_alive must then be said
  bool is_head = false;             // the method was HEAD: the body is left out
  bool is_uwsgi = false;            // see ResponseRequest
  int retry_after_s = -1;           // >= 0 adds `Retry-After`
  std::string_view date_line = {};  // DateCache::Line, or nothing
};

// A text/plain response: "431 Request Header Fields Too Large: more than 100 header lines\n". `detail` may be empty.
std::string SimpleResponse(int status, std::string_view detail, const SimpleResponseOptions& options = {});

// "Not Found" for 404; "Unknown" for a status without a registered name.
std::string_view ReasonPhrase(int status);

// The interim answer to `Expect: 100-continue`, to be sent when the application first reads the body.
inline constexpr std::string_view kContinueResponse = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace greenring::protocol
