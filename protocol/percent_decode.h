// Percent-decoding of a request's path, as WSGI's PATH_INFO wants it.
//
//   size_t size = PercentDecode("/a%20b", out);       // "/a b"; out is as long as the input
//
// Thread-safe. Never parks.
#pragma once

#include <cstddef>
#include <string_view>

namespace greenring::protocol {

// Writes `in` to `out` with each %XX replaced by its byte, and returns how many bytes were written (never more than
// in.size()). `out` may be in.data() itself. An escape without two hex digits stays as it is, and '+' stays '+': that
// is urllib.parse.unquote_to_bytes, which wsgiref, gunicorn and waitress use. %00 becomes a NUL and %2F a slash:
// PATH_INFO cannot tell them apart, an application that must uses the raw target. Thread-safe. Never parks.
size_t PercentDecode(std::string_view in, char* out);

}  // namespace greenring::protocol
