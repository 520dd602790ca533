#include "protocol/head_scanner.h"

#include <algorithm>

#include "protocol/bytes.h"

namespace greenring::protocol {

ParseResult HeadScanner::Scan(std::string_view bytes, const Limits& limits) {
  const char* const begin = bytes.data();
  const char* const end = begin + std::min<size_t>(bytes.size(), limits.head_bytes_max);
  for (;;) {
    const char* const p = FindControl(begin + scanned_, end);
    scanned_ = static_cast<uint32_t>(p - begin);
    const uint32_t line_bytes = scanned_ - line_start_;
    if (line_count_ == 0 && line_bytes > limits.request_line_bytes_max) {
      return ParseResult::Error(414, "request line too long");
    }
    if (line_bytes > 0 && line_count_ > limits.header_count_max) {
      return ParseResult::Error(431, "too many header lines");
    }
    if (line_count_ > 0 && line_bytes > limits.header_field_bytes_max) {
      return ParseResult::Error(431, "header line too long");
    }
    if (end - p < 2 && (p == end || *p == '\r')) {
      if (bytes.size() > limits.head_bytes_max) return ParseResult::Error(431, "request head too large");
      return ParseResult::Incomplete();
    }
    if (*p == '\n') return ParseResult::Error(400, "bare LF");
    if (*p != '\r') return ParseResult::Error(400, "control byte in the request head");
    if (p[1] != '\n') return ParseResult::Error(400, "bare CR");
    scanned_ += 2;
    line_start_ = scanned_;
    if (line_bytes > 0) {
      ++line_count_;
    } else if (line_count_ > 0) {
      return ParseResult::Complete(scanned_);
    } else if (leading_crlf_count_++ == kLeadingCrlfCountMax) {
      return ParseResult::Error(400, "empty lines before the request line");
    }
  }
}

}  // namespace greenring::protocol
