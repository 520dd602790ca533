// Properties of the head parser and the head scanner on any bytes:
//   - a verdict on a prefix stays the verdict on the whole;
//   - the scanner and the parser agree on where a head ends, and the parser accepts nothing that the scanner refuses;
//   - an accepted head holds no byte that could split a line, and has one framing.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "protocol/bytes.h"
#include "protocol/exact_bytes.h"
#include "protocol/http1_parser.h"

namespace greenring::protocol {
namespace {

using Kind = ParseResult::Kind;

bool Same(const ParseResult& a, const ParseResult& b) {
  return a.kind == b.kind && a.head_bytes == b.head_bytes && a.status == b.status && a.reason == b.reason;
}

void CheckAccepted(std::string_view bytes, const ParseResult& result, const Limits& limits, const RequestHead& head) {
  const std::string_view consumed = bytes.substr(0, result.head_bytes);
  GREENRING_CHECK(result.head_bytes <= bytes.size() && result.head_bytes <= limits.head_bytes_max);
  GREENRING_CHECK(consumed.ends_with("\r\n\r\n"));
  GREENRING_CHECK(IsTokenText(head.method) && head.method.size() <= limits.method_bytes_max);
  for (char c : head.target) GREENRING_CHECK(Is(c, kTarget));
  GREENRING_CHECK(head.path.starts_with('/') || (head.path == "*" && head.method == "OPTIONS"));
  GREENRING_CHECK(head.path.find('?') == head.path.npos);
  GREENRING_CHECK(head.headers.size() <= limits.header_count_max);
  int host_count = 0, length_count = 0, encoding_count = 0;
  for (const HeaderField& field : head.headers) {
    GREENRING_CHECK(IsTokenText(field.name) && field.name.find('_') == field.name.npos);
    for (char c : field.value) GREENRING_CHECK(!IsControl(c));
    GREENRING_CHECK(StripBlanks(field.value) == field.value);
    host_count += EqualsIgnoreCase(field.name, "host");
    length_count += EqualsIgnoreCase(field.name, "content-length");
    encoding_count += EqualsIgnoreCase(field.name, "transfer-encoding");
  }
  GREENRING_CHECK(host_count == 1 || (host_count == 0 && head.version == HttpVersion::kHttp10));
  GREENRING_CHECK(length_count + encoding_count <= 1);
  GREENRING_CHECK((head.framing == BodyFraming::kLength) == (length_count == 1));
  GREENRING_CHECK((head.framing == BodyFraming::kChunked) == (encoding_count == 1));
  GREENRING_CHECK(head.framing == BodyFraming::kChunked ? head.content_length == -1 : head.content_length >= 0);
  GREENRING_CHECK(head.version == HttpVersion::kHttp11 || head.framing != BodyFraming::kChunked);
  std::string decoded(head.path);
  GREENRING_CHECK(PercentDecode(decoded, decoded.data()) <= decoded.size());
}

void CheckBytes(std::string_view input, const Limits& limits) {
  RequestHead head;
  const ExactBytes whole(input);
  const ParseResult result = ParseRequestHead(whole.view(), limits, &head);
  if (result.kind == Kind::kComplete) CheckAccepted(whole.view(), result, limits, head);
  if (result.kind == Kind::kError) GREENRING_CHECK(result.status >= 400 && result.reason != nullptr);

  HeadScanner at_once;
  const ParseResult scanned = at_once.Scan(whole.view(), limits);
  if (result.kind == Kind::kComplete) GREENRING_CHECK(Same(scanned, result));
  if (scanned.kind == Kind::kComplete) GREENRING_CHECK(result.kind != Kind::kIncomplete);

  HeadScanner in_pieces;
  ParseResult pieces = ParseResult::Incomplete();
  ForPrefixes(input, [&](std::string_view prefix) {
    const ParseResult prefix_result = ParseRequestHead(prefix, limits, &head);
    if (prefix_result.kind != Kind::kIncomplete) GREENRING_CHECK(Same(prefix_result, result));
    if (pieces.kind == Kind::kIncomplete) pieces = in_pieces.Scan(prefix, limits);
  });
  if (pieces.kind == Kind::kIncomplete) pieces = in_pieces.Scan(whole.view(), limits);
  GREENRING_CHECK(Same(pieces, scanned));
}

}  // namespace
}  // namespace greenring::protocol

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using greenring::protocol::Limits;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  greenring::protocol::CheckBytes(input, Limits{});
  Limits tight;
  tight.request_line_bytes_max = 40;
  tight.method_bytes_max = 8;
  tight.header_count_max = 3;
  tight.header_field_bytes_max = 40;
  tight.head_bytes_max = 128;
  tight.body_bytes_max = 1000;
  greenring::protocol::CheckBytes(input, tight);
  return 0;
}
