// Properties of the uwsgi parser on any bytes:
//   - a verdict on a prefix stays the verdict on the whole;
//   - an accepted packet holds no name and no value that could reach beyond what it is, and has one framing;
//   - nothing that would load code, or stand for the server's own word, gets through.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "protocol/bytes.h"
#include "protocol/exact_bytes.h"
#include "protocol/limits.h"
#include "protocol/parse_result.h"
#include "protocol/request_head.h"
#include "protocol/uwsgi_parser.h"

namespace greenring::protocol {
namespace {

using Kind = ParseResult::Kind;

void CheckVariable(const Variable& variable) {
  GREENRING_CHECK(!variable.name.empty());
  for (const char c : variable.name) GREENRING_CHECK(Is(c, kToken) || c == '_');
  GREENRING_CHECK(!variable.name.starts_with("UWSGI_") && !variable.name.starts_with("wsgi."));
  GREENRING_CHECK(!variable.name.starts_with("greenring.") && !variable.name.starts_with("uwsgi."));
  GREENRING_CHECK(variable.value.find('\0') == variable.value.npos);
  if (variable.name.starts_with("HTTP_")) GREENRING_CHECK(!HasControl(variable.value));
}

void CheckAccepted(std::string_view bytes, const ParseResult& result, const Limits& limits, const RequestHead& head) {
  GREENRING_CHECK(result.head_bytes >= 4 && result.head_bytes <= bytes.size());
  GREENRING_CHECK(result.head_bytes <= limits.head_bytes_max && head.is_uwsgi && !head.keep_alive);
  if (head.is_ping) return;
  GREENRING_CHECK(IsTokenText(head.method) && head.method.size() <= limits.method_bytes_max);
  GREENRING_CHECK(head.headers.empty() && head.variables.size() <= limits.header_count_max + kUwsgiParametersMax);
  for (const Variable& variable : head.variables) {
    CheckVariable(variable);
    const bool is_encoding = variable.name == "HTTP_TRANSFER_ENCODING";
    GREENRING_CHECK(!is_encoding || head.framing != BodyFraming::kLength);
  }
  GREENRING_CHECK(head.framing == BodyFraming::kChunked ? head.content_length == -1 : head.content_length >= 0);
  GREENRING_CHECK(head.framing != BodyFraming::kNone || head.content_length == 0);
  GREENRING_CHECK(!head.expect_continue && !HasControl(head.scheme) && !HasControl(head.remote_addr));
}

void CheckBytes(std::string_view input, const Limits& limits) {
  RequestHead head;
  const ExactBytes whole(input);
  const ParseResult result = ParseUwsgiHead(whole.view(), limits, &head);
  if (result.kind == Kind::kComplete) CheckAccepted(whole.view(), result, limits, head);
  if (result.kind == Kind::kError) GREENRING_CHECK(result.status >= 400 && result.reason != nullptr);
  ForPrefixes(input, [&](std::string_view prefix) {
    const ParseResult of_prefix = ParseUwsgiHead(prefix, limits, &head);
    if (of_prefix.kind == Kind::kIncomplete) return;
    GREENRING_CHECK(of_prefix.kind == result.kind && of_prefix.status == result.status);
    GREENRING_CHECK(of_prefix.head_bytes == result.head_bytes && of_prefix.reason == result.reason);
  });
}

}  // namespace
}  // namespace greenring::protocol

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using greenring::protocol::Limits;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  greenring::protocol::CheckBytes(input, Limits{});
  Limits tight;
  tight.request_line_bytes_max = 8;
  tight.method_bytes_max = 4;
  tight.header_count_max = 2;
  tight.header_field_bytes_max = 24;
  tight.head_bytes_max = 400;
  tight.body_bytes_max = 4;
  greenring::protocol::CheckBytes(input, tight);
  return 0;
}
