// The access log in the combined format of Apache and nginx, one line a request.
//
//   AccessLog log(file.get());
//   log.Append({.client = "127.0.0.1", .head = &head, .status = 200, .body_bytes = 13}, now_s);
//   log.Flush();
//
//   127.0.0.1 - - [31/Jan/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 13 "-" "curl/7.88.1"
//
// What comes from the client is escaped: a quote, a backslash and bytes outside printable ASCII become \xHH, so no
// request can forge a line. Lines are gathered and written by Flush, or when kBufferBytesMax are there. Loop's thread
// only. Never parks (see log.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/request_head.h"
#include "worker/log.h"

namespace greenring::worker {

class AccessLog {
 public:
  struct Entry {
    std::string_view client;            // "-" for a unix socket
    const protocol::RequestHead* head;  // without a method where the request could not be parsed
    int status = 0;                     // 0: no response was sent
    int64_t body_bytes = 0;
  };

  explicit AccessLog(LogFile* file) : file_(file) {}
  ~AccessLog() { Flush(); }

  void Append(const Entry& entry, int64_t now_s);
  void Flush();

 private:
  static constexpr size_t kBufferBytesMax = 32 * 1024;

  void AppendEscaped(std::string_view text);

  LogFile* const file_;
  std::string buffer_;
  int64_t stamp_s_ = -1;  // the second that stamp_ says
  std::string stamp_;
};

}  // namespace greenring::worker
