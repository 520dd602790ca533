// Builds a response head from what a WSGI application gives to start_response.
//
//   encoder.Clear();
//   if (const char* error = encoder.SetStatus("200 OK")) Raise(error);
//   if (const char* error = encoder.AddHeader("Content-Type", "text/plain")) Raise(error);
//   ResponseRequest request{.version = head.version, .is_head = false, .keep_alive = true};
//   size_t size = encoder.EncodeHead(request, /*body_bytes=*/12, dates.Line(now_s), out, &body);
//
// Each header is checked once, when it is added (PEP 3333 wants errors raised by start_response), and its bytes are
// copied then: the application's objects need not outlive the call. No CR, LF or NUL ever gets through, so no header
// can split the response. Keep one encoder per core; Clear keeps its memory. One thread at a time. Never parks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "protocol/date_cache.h"
#include "protocol/request_head.h"
#include "protocol/response_body.h"

namespace greenring::protocol {

// What the response must know of its request and connection.
struct ResponseRequest {
  HttpVersion version = HttpVersion::kHttp11;
  bool is_head = false;     // the method is HEAD: no body is sent
  bool keep_alive = false;  // the client wants it, the request's body was read, and the server is not draining
  // Over the uwsgi protocol: the connection ends with the response, and what belongs to the client's connection
  // (chunks, Connection) and the server's own headers (Date, Server) are the web server's to add.
  bool is_uwsgi = false;
};

class ResponseEncoder {
 public:
  // Forgets status and headers, keeps the memory (unless it is unusually much).
  void Clear();

  // "200 OK": three digits (200 to 999), a space, a reason without control bytes. Replaces the status and drops the
  // headers of an earlier call (start_response with exc_info). Returns nullptr, or the reason for refusing (static
  // text).
  const char* SetStatus(std::string_view status);

  // Precondition: SetStatus succeeded. Returns nullptr, or the reason for refusing: a name that is no token, a control
  // byte in the value, a hop-by-hop header, a Content-Length that is no number or comes twice.
  const char* AddHeader(std::string_view name, std::string_view value);

  bool has_status() const { return status_code_ != 0; }
  int status_code() const { return status_code_; }

  // -1 when the application gave none.
  int64_t content_length() const { return content_length_; }

  // The space EncodeHead needs at `out`.
  size_t head_bytes_max() const { return lines_size_ + kServerLinesBytesMax; }

  // Writes the head with its empty line and returns its size. `body_bytes` is the whole body's size if it is known (an
  // iterable of exactly one item), else -1; the application's own Content-Length comes first. `date_line` is
  // DateCache::Line's. `body` receives the framing. Precondition: SetStatus succeeded. Never parks.
  size_t EncodeHead(const ResponseRequest& request, int64_t body_bytes, std::string_view date_line, char* out,
                    ResponseBody* body) const;

 private:
  // The status line and the application's headers: more than any client or proxy takes (nginx takes 8 KiB, curl 300).
  static constexpr size_t kLinesBytesMax = 256 * 1024;

  // What Clear keeps, so that one response with huge headers does not stay in memory for ever.
  static constexpr size_t kKeptBytesMax = 16 * 1024;

  // Room for what the server adds: Server, Date, Content-Length or Transfer-Encoding, Connection, the empty line.
  static constexpr size_t kServerLinesBytesMax = 192;

  // Makes lines_ `size` bytes longer and returns where they start. Precondition: kLinesBytesMax is not exceeded.
  char* Extend(size_t size);

  std::unique_ptr<char[]> lines_;  // the status line and the application's headers, as they go to the wire
  size_t lines_size_ = 0;
  size_t lines_capacity_ = 0;
  int64_t content_length_ = -1;
  int status_code_ = 0;
  bool has_date_ = false;
  bool has_server_ = false;
};

// A header that PEP 3333 forbids to applications because it belongs to the connection: Connection, Transfer-Encoding, …
// Thread-safe. Never parks.
bool IsHopByHop(std::string_view name);

}  // namespace greenring::protocol
