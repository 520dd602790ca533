#include "protocol/http1_parser.h"

#include <algorithm>
#include <cstring>

#include "protocol/bytes.h"

namespace greenring::protocol {
namespace {

// Host = uri-host [ ":" port ] of RFC 9110 section 7.2. Empty is right: a target without an authority.
bool IsValidHost(std::string_view host) {
  const char* p = host.data();
  const char* const end = p + host.size();
  if (p != end && *p == '[') {
    const char* const inside = ++p;
    while (p != end && (Is(*p, kHex) || *p == ':' || *p == '.')) ++p;
    if (p == inside || p == end || *p++ != ']') return false;
  } else {
    for (; p != end; ++p) {
      if (Is(*p, kRegName)) continue;
      if (*p != '%' || end - p < 3 || !Is(p[1], kHex) || !Is(p[2], kHex)) break;
      p += 2;
    }
  }
  if (p == end) return true;
  if (*p++ != ':' || end - p > 5) return false;
  int port = 0;
  for (; p != end; ++p) {
    if (!IsDigit(*p)) return false;
    port = port * 10 + (*p - '0');
  }
  return port <= 65535;
}

// One parse. Each step returns true to go on; false leaves the verdict in result_.
class HeadParser {
 public:
  HeadParser(std::string_view bytes, const Limits& limits, RequestHead* head)
      : begin_(bytes.data()),
        end_(begin_ + std::min<size_t>(bytes.size(), limits.head_bytes_max)),
        p_(begin_),
        cut_(bytes.size() > limits.head_bytes_max),
        limits_(limits),
        head_(head) {}

  ParseResult Run() {
    if (SkipLeadingCrlf() && ParseRequestLine() && ParseHeaders() && Conclude()) {
      return ParseResult::Complete(static_cast<size_t>(p_ - begin_));
    }
    return result_;
  }

 private:
  bool Fail(int status, const char* reason) {
    result_ = ParseResult::Error(status, reason);
    return false;
  }

  // The bytes are over before the line is.
  bool RanOut(int line_status, const char* line_reason) {
    if (line_end_ != end_) return Fail(line_status, line_reason);
    if (cut_) return Fail(431, "request head too large");
    result_ = ParseResult::Incomplete();
    return false;
  }
  bool RequestLineRanOut() { return RanOut(414, "request line too long"); }
  bool FieldRanOut() { return RanOut(431, "header line too long"); }

  // Room for a line of `bytes_max` and its CRLF, from p_.
  void StartLine(size_t bytes_max) {
    line_end_ = static_cast<size_t>(end_ - p_) > bytes_max + 2 ? p_ + bytes_max + 2 : end_;
  }

  bool SkipLeadingCrlf() {
    line_end_ = end_;
    for (uint32_t count = 0; p_ != end_ && *p_ == '\r'; ++count) {
      if (end_ - p_ < 2) return RequestLineRanOut();
      if (p_[1] != '\n') return Fail(400, "bare CR");
      if (count == kLeadingCrlfCountMax) return Fail(400, "empty lines before the request line");
      p_ += 2;
    }
    return true;
  }

  bool ParseRequestLine() {
    StartLine(limits_.request_line_bytes_max);
    const char* const method = p_;
    while (p_ != line_end_ && Is(*p_, kToken)) ++p_;
    const size_t method_size = static_cast<size_t>(p_ - method);
    if (method_size > limits_.method_bytes_max) return Fail(501, "method too long");
    if (p_ == line_end_) return RequestLineRanOut();
    if (*p_ != ' ' || method_size == 0) return Fail(400, "invalid method");
    head_->method = std::string_view(method, method_size);
    ++p_;
    return SplitTarget() && ParseVersion() && CheckTarget();
  }

  bool SplitTarget() {
    const char* const target = p_;
    while (p_ != line_end_ && Is(*p_, kPath)) ++p_;
    const char* const path_end = p_;
    while (p_ != line_end_ && Is(*p_, kTarget)) ++p_;
    if (p_ == line_end_) return RequestLineRanOut();
    if (*p_ != ' ') return Fail(400, TargetStopReason(*p_));
    head_->target = std::string_view(target, static_cast<size_t>(p_ - target));
    head_->path = std::string_view(target, static_cast<size_t>(path_end - target));
    if (path_end != p_) head_->query = std::string_view(path_end + 1, static_cast<size_t>(p_ - path_end - 1));
    ++p_;
    return true;
  }

  static const char* TargetStopReason(char c) {
    if (c == '#') return "fragment in the request target";
    if (c == '\r' || c == '\n') return "no HTTP version in the request line";
    return "invalid byte in the request target";
  }

  // Which of the four forms of RFC 9112 section 3.2 the target has. After the version: HTTP/2's preface is no bad
  // target.
  bool CheckTarget() {
    if (head_->method == "CONNECT") [[unlikely]]
      return Fail(501, "CONNECT is not supported");
    if (!head_->path.empty() && head_->path.front() == '/') return true;
    if (head_->target == "*") return head_->method == "OPTIONS" || Fail(400, "target '*' without OPTIONS");
    return SplitAbsoluteTarget();
  }

  // absolute-form: "http://host[:port][/path][?query]"; path is what precedes the '?' so far.
  bool SplitAbsoluteTarget() {
    std::string_view rest = head_->path;
    if (rest.size() >= 7 && EqualsIgnoreCase(rest.substr(0, 7), "http://")) {
      rest.remove_prefix(7);
    } else if (rest.size() >= 8 && EqualsIgnoreCase(rest.substr(0, 8), "https://")) {
      rest.remove_prefix(8);
    } else {
      return Fail(400, "invalid request target");
    }
    const size_t slash = rest.find('/');
    head_->authority = rest.substr(0, slash);
    head_->path = slash == rest.npos ? std::string_view("/") : rest.substr(slash);
    if (head_->authority.empty() || head_->authority.front() == ':' || !IsValidHost(head_->authority)) {
      return Fail(400, "invalid authority in the request target");
    }
    return true;
  }

  // "HTTP/" DIGIT "." DIGIT CRLF.
  bool ParseVersion() {
    constexpr std::string_view kHttp11Line = "HTTP/1.1\r\n";
    if (line_end_ - p_ >= 10 && std::memcmp(p_, kHttp11Line.data(), 10) == 0) [[likely]] {
      p_ += 10;
      return true;  // as Clear left it
    }
    return ParseUncommonVersion();
  }

  bool ParseUncommonVersion() {
    constexpr std::string_view kPattern = "HTTP/D.D\r\n";
    for (size_t i = 0; i < kPattern.size(); ++i) {
      if (p_ + i == line_end_) return RequestLineRanOut();
      if (kPattern[i] == 'D' ? !IsDigit(p_[i]) : p_[i] != kPattern[i]) {
        return Fail(400, p_[i] == '\n' ? "bare LF" : i == 9 ? "bare CR" : "invalid HTTP version");
      }
    }
    if (p_[5] != '1') return Fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    head_->version_minor = static_cast<uint8_t>(p_[7] - '0');
    head_->version = head_->version_minor == 0 ? HttpVersion::kHttp10 : HttpVersion::kHttp11;
    p_ += kPattern.size();
    return true;
  }

  bool ParseHeaders() {
    for (uint32_t count = 0;; ++count) {
      StartLine(limits_.header_field_bytes_max);
      if (p_ == line_end_) return FieldRanOut();
      if (*p_ == '\r') {
        if (p_ + 1 == line_end_) return FieldRanOut();
        if (p_[1] != '\n') return Fail(400, "bare CR");
        p_ += 2;
        return true;
      }
      if (count == limits_.header_count_max) return Fail(431, "too many header lines");
      if (!ParseField()) return false;
    }
  }

  bool ParseField() {
    const char* const name = p_;
    uint8_t classes = 0;
    while (p_ != line_end_ && Is(*p_, kToken)) classes |= ClassesOf(*p_++);
    if (p_ == line_end_) return FieldRanOut();
    if (*p_ != ':' || p_ == name) return Fail(400, NameStopReason(*p_, p_ == name));
    const std::string_view name_view(name, static_cast<size_t>(p_ - name));
    ++p_;
    while (p_ != line_end_ && IsBlank(*p_)) ++p_;
    const char* const value = p_;
    p_ = FindControl(p_, line_end_);
    if (p_ == line_end_) return FieldRanOut();
    if (*p_ != '\r') return Fail(400, ValueStopReason(*p_));
    if (p_ + 1 == line_end_) return FieldRanOut();
    if (p_[1] != '\n') return Fail(400, "bare CR");
    const char* value_end = p_;
    while (value_end != value && IsBlank(value_end[-1])) --value_end;
    p_ += 2;
    if (classes & kUnderscore) {
      if (limits_.underscore_names == UnderscoreNames::kDrop) return true;
      if (limits_.underscore_names == UnderscoreNames::kRefuse) return Fail(400, "'_' in a header name");
    }
    const std::string_view value_view(value, static_cast<size_t>(value_end - value));
    HeaderField& field = head_->headers.emplace_back();
    field.name = name_view;
    field.value = value_view;
    return NoteField(name_view, value_view);
  }

  static const char* NameStopReason(char c, bool is_first) {
    if (is_first && c == '\n') return "bare LF";
    if (is_first && c == ':') return "empty header name";
    if (is_first && IsBlank(c)) return "folded header line";
    if (IsBlank(c)) return "white space before the colon of a header";
    if (c == '\r' || c == '\n') return "header line without a colon";
    return "invalid byte in a header name";
  }

  static const char* ValueStopReason(char c) {
    if (c == '\n') return "bare LF";
    if (c == '\0') return "NUL in a header value";
    return "control byte in a header value";
  }

  // Takes from a header what decides framing and the connection's life.
  bool NoteField(std::string_view name, std::string_view value) {
    switch (name.size()) {
      case 4:
        return !TokenEqualsIgnoreCase(name, "host") || NoteHost(value);
      case 6:
        return !TokenEqualsIgnoreCase(name, "expect") || NoteExpect(value);
      case 10:
        if (TokenEqualsIgnoreCase(name, "connection")) NoteConnection(value);
        return true;
      case 12:
        if (!TokenEqualsIgnoreCase(name, "content-type")) return true;
        if (has_content_type_) return Fail(400, "more than one Content-Type");
        return has_content_type_ = true;
      case 14:
        return !TokenEqualsIgnoreCase(name, "content-length") || NoteContentLength(value);
      case 17:
        return !TokenEqualsIgnoreCase(name, "transfer-encoding") || NoteTransferEncoding(value);
      default:
        return true;
    }
  }

  bool NoteHost(std::string_view value) {
    if (host_index_ >= 0) return Fail(400, "more than one Host");
    if (!IsValidHost(value)) return Fail(400, "invalid Host");
    host_index_ = static_cast<int>(head_->headers.size()) - 1;
    return true;
  }

  bool NoteExpect(std::string_view value) {
    if (!EqualsIgnoreCase(value, "100-continue")) return Fail(417, "unknown expectation");
    head_->expect_continue = true;
    return true;
  }

  void NoteConnection(std::string_view value) {
    while (!value.empty()) {
      const size_t comma = value.find(',');
      const std::string_view option = StripBlanks(value.substr(0, comma));
      if (EqualsIgnoreCase(option, "close")) wants_close_ = true;
      if (EqualsIgnoreCase(option, "keep-alive")) wants_keep_alive_ = true;
      if (comma == value.npos) return;
      value.remove_prefix(comma + 1);
    }
  }

  bool NoteContentLength(std::string_view value) {
    if (has_content_length_) return Fail(400, "more than one Content-Length");
    has_content_length_ = true;
    head_->content_length = ParseContentLength(value);
    return head_->content_length >= 0 || Fail(400, "invalid Content-Length");
  }

  bool NoteTransferEncoding(std::string_view value) {
    if (has_transfer_encoding_) return Fail(400, "more than one Transfer-Encoding");
    has_transfer_encoding_ = true;
    return EqualsIgnoreCase(value, "chunked") || Fail(400, "Transfer-Encoding other than 'chunked'");
  }

  // What only the whole head can tell.
  bool Conclude() {
    const bool is_http11 = head_->version == HttpVersion::kHttp11;
    if (host_index_ < 0) {
      if (is_http11) return Fail(400, "no Host");
      head_->host = head_->authority;
    } else {
      HeaderField& host = head_->headers[static_cast<size_t>(host_index_)];
      if (!head_->authority.empty()) host.value = head_->authority;
      head_->host = host.value;
    }
    if (has_transfer_encoding_) {
      if (has_content_length_) return Fail(400, "both Content-Length and Transfer-Encoding");
      if (!is_http11) return Fail(400, "Transfer-Encoding in HTTP/1.0");
      head_->framing = BodyFraming::kChunked;
      head_->content_length = -1;
    } else if (has_content_length_) {
      head_->framing = BodyFraming::kLength;
      if (limits_.body_bytes_max >= 0 && head_->content_length > limits_.body_bytes_max) {
        return Fail(413, "request body too large");
      }
    }
    head_->expect_continue = head_->expect_continue && is_http11 && head_->content_length != 0;
    head_->keep_alive = !wants_close_ && (is_http11 || wants_keep_alive_);
    return true;
  }

  const char* const begin_;
  const char* const end_;           // of what is looked at: the bytes, but no more than a head may have
  const char* line_end_ = nullptr;  // end_, or where the line being read would be too long
  const char* p_;
  const bool cut_;  // there are bytes behind end_
  bool wants_close_ = false;
  bool wants_keep_alive_ = false;
  bool has_content_type_ = false;
  bool has_content_length_ = false;
  bool has_transfer_encoding_ = false;
  int host_index_ = -1;
  const Limits& limits_;
  RequestHead* const head_;
  ParseResult result_;
};

}  // namespace

ParseResult ParseRequestHead(std::string_view bytes, const Limits& limits, RequestHead* head) {
  head->Clear();
  return HeadParser(bytes, limits, head).Run();
}

}  // namespace greenring::protocol
