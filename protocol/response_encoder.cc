#include "protocol/response_encoder.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "protocol/bytes.h"

namespace greenring::protocol {
namespace {

char* Append(char* out, std::string_view text) {
  if (!text.empty()) std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

constexpr std::string_view kStatusLineStart = "HTTP/1.1 ";
constexpr std::string_view kServerLine = "Server: greenring\r\n";

}  // namespace

void ResponseEncoder::Clear() {
  if (lines_capacity_ > kKeptBytesMax) {
    lines_.reset();
    lines_capacity_ = 0;
  }
  lines_size_ = 0;
  content_length_ = -1;
  status_code_ = 0;
  has_date_ = has_server_ = false;
}

char* ResponseEncoder::Extend(size_t size) {
  if (size > lines_capacity_ - lines_size_) [[unlikely]] {
    lines_capacity_ = std::bit_ceil(std::max<size_t>(lines_size_ + size, 512));
    auto grown = std::make_unique_for_overwrite<char[]>(lines_capacity_);
    if (lines_size_ > 0) std::memcpy(grown.get(), lines_.get(), lines_size_);
    lines_ = std::move(grown);
  }
  char* const start = lines_.get() + lines_size_;
  lines_size_ += size;
  return start;
}

const char* ResponseEncoder::SetStatus(std::string_view status) {
  Clear();
  if (status.size() < 4 || !IsDigit(status[0]) || !IsDigit(status[1]) || !IsDigit(status[2]) || status[3] != ' ') {
    return "the status must be three digits, a space and a reason";
  }
  if (status[0] < '2') return "the status must not be below 200";
  if (HasControl(status)) return "control byte in the status";
  if (status.size() > kLinesBytesMax / 2) return "the status is too long";
  status_code_ = (status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0');
  char* out = Extend(kStatusLineStart.size() + status.size() + 2);
  Append(Append(Append(out, kStatusLineStart), status), "\r\n");
  return nullptr;
}

const char* ResponseEncoder::AddHeader(std::string_view name, std::string_view value) {
  GREENRING_DCHECK(has_status());
  if (!IsTokenText(name)) return "a header's name must be a token";
  if (HasControl(value)) return "control byte (such as CR or LF) in a header's value";
  if (IsHopByHop(name)) return "hop-by-hop headers belong to the server (PEP 3333)";
  switch (name.size()) {
    case 4:
      has_date_ = has_date_ || EqualsIgnoreCase(name, "date");
      break;
    case 6:
      has_server_ = has_server_ || EqualsIgnoreCase(name, "server");
      break;
    case 14:
      if (!EqualsIgnoreCase(name, "content-length")) break;
      if (content_length_ >= 0) return "more than one Content-Length";
      content_length_ = ParseContentLength(StripBlanks(value));
      return content_length_ >= 0 ? nullptr : "Content-Length must be a number";  // EncodeHead writes it
  }
  const size_t room = kLinesBytesMax - lines_size_;
  if (value.size() > room || name.size() + value.size() + 4 > room) return "the response's headers are too large";
  char* out = Extend(name.size() + value.size() + 4);
  Append(Append(Append(Append(out, name), ": "), value), "\r\n");
  return nullptr;
}

size_t ResponseEncoder::EncodeHead(const ResponseRequest& request, int64_t body_bytes, std::string_view date_line,
                                   char* out, ResponseBody* body) const {
  GREENRING_DCHECK(has_status());
  const char* const begin = out;
  out = Append(out, std::string_view(lines_.get(), lines_size_));
  if (!has_server_ && !request.is_uwsgi) out = Append(out, kServerLine);
  if (!has_date_ && !request.is_uwsgi) out = Append(out, date_line);

  const bool has_no_body = request.is_head || status_code_ == 204 || status_code_ == 304;
  int64_t length = content_length_ >= 0 ? content_length_ : body_bytes;
  bool keep_alive = request.keep_alive && !request.is_uwsgi;
  ResponseBody::Kind kind = ResponseBody::Kind::kLength;
  if (has_no_body) {
    kind = ResponseBody::Kind::kNone;
    // What the application says of the body it would have sent stays, but 204 must not have a length (RFC 9110 section
    // 8.6), and one that is only counted says nothing here: the application may have left the body out.
    length = status_code_ == 204 ? -1 : content_length_;
  } else if (length < 0 && request.version == HttpVersion::kHttp11 && !request.is_uwsgi) {
    kind = ResponseBody::Kind::kChunked;
    out = Append(out, "Transfer-Encoding: chunked\r\n");
  } else if (length < 0) {
    kind = ResponseBody::Kind::kUntilClose;
    keep_alive = false;
  }
  if (length >= 0) {
    out = Append(out, "Content-Length: ");
    out = std::to_chars(out, out + kContentLengthDigitsMax + 1, length).ptr;
    out = Append(out, "\r\n");
  }
  if (request.is_uwsgi) {
    // The end of the connection goes without saying.
  } else if (!keep_alive) {
    out = Append(out, "Connection: close\r\n");
  } else if (request.version == HttpVersion::kHttp10) {
    out = Append(out, "Connection: keep-alive\r\n");
  }
  out = Append(out, "\r\n");
  *body = ResponseBody(kind, length, keep_alive);
  return static_cast<size_t>(out - begin);
}

bool IsHopByHop(std::string_view name) {
  switch (name.size()) {
    case 2:
      return EqualsIgnoreCase(name, "te");
    case 7:
      return EqualsIgnoreCase(name, "upgrade") || EqualsIgnoreCase(name, "trailer");
    case 8:
      return EqualsIgnoreCase(name, "trailers");
    case 10:
      return EqualsIgnoreCase(name, "connection") || EqualsIgnoreCase(name, "keep-alive");
    case 16:
      return EqualsIgnoreCase(name, "proxy-connection");
    case 17:
      return EqualsIgnoreCase(name, "transfer-encoding");
    case 18:
      return EqualsIgnoreCase(name, "proxy-authenticate");
    case 19:
      return EqualsIgnoreCase(name, "proxy-authorization");
    default:
      return false;
  }
}

}  // namespace greenring::protocol
