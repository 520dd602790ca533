#include "protocol/simple_response.h"

#include "base/check.h"
#include "protocol/response_encoder.h"

namespace greenring::protocol {

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

std::string SimpleResponse(int status, std::string_view detail, const SimpleResponseOptions& options) {
  std::string status_text = std::to_string(status) + ' ';
  status_text.append(ReasonPhrase(status));
  std::string body_text = status_text;
  if (!detail.empty()) body_text.append(": ").append(detail);
  body_text += '\n';

  ResponseEncoder encoder;
  GREENRING_CHECK(encoder.SetStatus(status_text) == nullptr);
  GREENRING_CHECK(encoder.AddHeader("Content-Type", "text/plain; charset=utf-8") == nullptr);
  GREENRING_CHECK(encoder.AddHeader("Content-Length", std::to_string(body_text.size())) == nullptr);
  if (options.retry_after_s >= 0) {
    GREENRING_CHECK(encoder.AddHeader("Retry-After", std::to_string(options.retry_after_s)) == nullptr);
  }
  ResponseRequest request{.version = options.http10 ? HttpVersion::kHttp10 : HttpVersion::kHttp11,
                          .is_head = options.is_head,
                          .keep_alive = options.keep_alive,
                          .is_uwsgi = options.is_uwsgi};
  std::string response(encoder.head_bytes_max() + body_text.size(), '\0');
  ResponseBody body;
  size_t size = encoder.EncodeHead(request, /*body_bytes=*/-1, options.date_line, response.data(), &body);
  size += body_text.copy(response.data() + size, body.Admit(body_text.size()));
  response.resize(size);
  return response;
}

}  // namespace greenring::protocol
