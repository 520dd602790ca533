// The access log, one line a request: in the combined format of Apache and nginx, or a JSON object.
//
//   AccessLog log(file.get());
//   log.Append({.client = "127.0.0.1", .head = &head, .status = 200, .body_bytes = 13}, now_ns);
//   log.Flush();
//
//   127.0.0.1 - - [31/Jan/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 13 "-" "curl/7.88.1"
//
// What the application adds follows the combined line as ` name="value"`; in JSON it is the object "vars".
//
//   {"time":"2026-01-31T12:00:00.000Z","request_id":"5b0c9f3e41d2-1f","client":"127.0.0.1", ... }
//
// What comes from the client is escaped, so no request can forge a line: as text a quote, a backslash and bytes outside
// printable ASCII become \xHH; as JSON see json_text.h. docs/OBSERVABILITY.md lists the fields. Lines are gathered and
// written by Flush, or when kBufferBytesMax are there. Loop's thread only. Never parks (see log.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/request_head.h"
#include "worker/log.h"

namespace greenring::worker {

// The status that logs and statistics have for a request whose client left before its response began: nginx's.
inline constexpr int kStatusClientGone = 499;

// What an application adds to the line of a request (uwsgi.set_logvar), in its order.
using LogVariables = std::vector<std::pair<std::string, std::string>>;

class AccessLog {
 public:
  struct Entry {
    std::string_view client;            // "-" for a unix socket
    const protocol::RequestHead* head;  // without a method where the request could not be parsed
    int status = 0;                     // 0: no response was sent
    int64_t body_bytes = 0;

    const LogVariables* variables = nullptr;  // null: none

    // As JSON only.
    std::string_view request_id = {};
    int64_t queue_ns = 0;  // until a core took it
    int64_t run_ns = 0;    // from there to the response's end
  };

  explicit AccessLog(LogFile* file) : file_(file) {}
  ~AccessLog() { Flush(); }

  // Of lines from now on.
  void SetFormat(LogFormat format) { format_ = format; }

  // `now_ns` is the wall clock's, since 1970.
  void Append(const Entry& entry, int64_t now_ns);
  void Flush();

 private:
  static constexpr size_t kBufferBytesMax = 32 * 1024;

  void AppendCombined(const Entry& entry, int64_t now_s);
  void AppendObject(const Entry& entry, int64_t now_ns);
  void AppendEscaped(std::string_view text);

  LogFile* const file_;
  LogFormat format_ = LogFormat::kText;
  std::string buffer_;
  int64_t stamp_s_ = -1;  // the second that stamp_ says
  std::string stamp_;
};

}  // namespace greenring::worker
