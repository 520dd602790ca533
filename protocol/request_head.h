// A parsed request head: method, target, headers or variables, and framing, as views into the caller's bytes.
//
//   RequestHead head;                                   // kept across requests; its header array is reused
//   if (ParseRequestHead(bytes, limits, &head).kind == ParseResult::Kind::kComplete) {
//     Serve(head.method, head.path, head.query);
//     Use(FindHeader(head, "user-agent").value_or("-"));
//   }
//
// Owns only its arrays. The views die with the bytes that were parsed. One thread at a time. Never parks.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace greenring::protocol {

enum class HttpVersion : uint8_t {
  kHttp10,
  kHttp11,  // and any later HTTP/1.x, which RFC 9110 section 2.5 wants treated as 1.1
};

enum class BodyFraming : uint8_t {
  kNone,     // no body: neither Content-Length nor Transfer-Encoding
  kLength,   // Content-Length, possibly 0
  kChunked,  // Transfer-Encoding: chunked
};

struct HeaderField {
  std::string_view name;   // a non-empty token, as received
  std::string_view value;  // without the white space around it; holds no CR, LF, NUL or other control byte but HTAB
};

// One of the variables that the uwsgi protocol has in place of a request line and headers.
struct Variable {
  std::string_view name;   // of A-Z, a-z, 0-9, '_', '.' and '-'; not empty
  std::string_view value;  // holds no NUL; in HTTP_* no other control byte but HTAB either
};

struct RequestHead {
  std::string_view method;  // a token, case as received
  std::string_view target;  // as received
  // Raw, still percent-encoded: starts with '/', or is "*" (of `OPTIONS *`). Over the uwsgi protocol PATH_INFO, which
  // may be anything, and is decoded.
  std::string_view path;
  bool path_decoded = false;
  std::string_view query;      // without its '?'; empty also when there is none
  std::string_view authority;  // of an absolute-form target, else empty
  std::string_view host;       // whom the request addresses: the authority, else Host's value; may be empty
  HttpVersion version = HttpVersion::kHttp11;
  uint8_t version_minor = 1;     // as received
  bool keep_alive = false;       // what the client wants; a server may still close
  bool expect_continue = false;  // the client waits for `100 Continue` before it sends the body (never without a body)
  BodyFraming framing = BodyFraming::kNone;
  int64_t content_length = 0;  // of kLength; 0 with kNone; -1 with kChunked

  // In the order received; names repeat where the client repeated them (never Host, Content-Length, Content-Type or
  // Transfer-Encoding). When the target has an authority, Host's value here is that authority (RFC 9112 section 3.2.2).
  // The capacity survives Clear, so that parsing allocates nothing in the steady state.
  std::vector<HeaderField> headers;

  // ---- over the uwsgi protocol, which has no headers ----

  // In the order received, for the application: what must not come from outside is left out. Of a name that repeats the
  // last one counts.
  std::vector<Variable> variables;
  std::string_view scheme;       // "https" and the like; empty: not said
  std::string_view remote_addr;  // the client's address, as the web server says; empty: not said
  bool is_uwsgi = false;
  bool is_ping = false;  // no request: nothing else is set but is_uwsgi

  // Forgets everything but the arrays' capacity.
  void Clear() {
    method = target = path = query = authority = host = scheme = remote_addr = {};
    version = HttpVersion::kHttp11;
    version_minor = 1;
    keep_alive = expect_continue = false;
    framing = BodyFraming::kNone;
    content_length = 0;
    headers.clear();
    variables.clear();
    path_decoded = is_uwsgi = is_ping = false;
  }
};

// The value of the header `lower_name`, which is in lower case: of several the first one, but of the variables that
// stand for headers (HTTP_USER_AGENT) the last one. Thread-safe. Never parks.
std::optional<std::string_view> FindHeader(const RequestHead& head, std::string_view lower_name);

}  // namespace greenring::protocol
