// Properties of the body decoder on any bytes: however they are split, they give the same data and the same verdict,
// and no byte after the body is consumed. A request in the input lends its framing to what follows it; other input is
// read as a chunked body.
#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "protocol/body_decoder.h"
#include "protocol/http1_parser.h"

namespace greenring::protocol {
namespace {

using State = BodyDecoder::State;

struct Outcome {
  std::string data;
  size_t consumed = 0;
  State state = State::kNeedMore;
  int status = 0;
  std::string reason;

  bool operator==(const Outcome&) const = default;
};

// Feeds `input` in pieces of `piece_bytes`, each in an allocation of exactly its size.
Outcome Feed(std::string_view input, size_t piece_bytes, BodyFraming framing, int64_t length, const Limits& limits) {
  BodyDecoder decoder;
  decoder.Reset(framing, length, limits);
  Outcome outcome;
  while (outcome.consumed < input.size() && outcome.state != State::kDone && outcome.state != State::kError) {
    const std::string_view rest = input.substr(outcome.consumed, piece_bytes);
    const std::unique_ptr<char[]> exact(new char[rest.size()]);
    rest.copy(exact.get(), rest.size());
    const std::string_view piece(exact.get(), rest.size());
    const BodyDecoder::Step step = decoder.Decode(piece);
    GREENRING_CHECK(step.consumed <= piece.size());
    GREENRING_CHECK(step.data.empty() == (step.state != State::kData));
    GREENRING_CHECK(step.consumed > 0 || step.state == State::kDone || step.state == State::kError);
    if (step.state == State::kNeedMore) GREENRING_CHECK(step.consumed == piece.size());
    if (step.state == State::kData) {
      GREENRING_CHECK(step.data.data() >= piece.data());
      GREENRING_CHECK(step.data.data() + step.data.size() <= piece.data() + step.consumed);
    }
    GREENRING_CHECK(decoder.remaining_hint() >= 0);
    outcome.data += step.data;
    outcome.consumed += step.consumed;
    outcome.state = decoder.done() ? State::kDone : step.state;
    outcome.status = step.status;
    outcome.reason = step.reason == nullptr ? "" : step.reason;
  }
  // What a piece that failed held is not told; which data came before the failure is.
  if (outcome.state == State::kError) {
    GREENRING_CHECK(outcome.status == 400 || outcome.status == 413 || outcome.status == 431);
    GREENRING_CHECK(!outcome.reason.empty());
    outcome.consumed = 0;
  }
  if (outcome.state == State::kData) outcome.state = State::kNeedMore;
  if (limits.body_bytes_max >= 0) GREENRING_CHECK(outcome.data.size() <= static_cast<size_t>(limits.body_bytes_max));
  return outcome;
}

void CheckBody(std::string_view input, BodyFraming framing, int64_t length, const Limits& limits) {
  const Outcome whole = Feed(input, input.size(), framing, length, limits);
  GREENRING_CHECK(Feed(input, 1, framing, length, limits) == whole);
  GREENRING_CHECK(Feed(input, 3, framing, length, limits) == whole);
  GREENRING_CHECK(Feed(input, 17, framing, length, limits) == whole);
}

}  // namespace
}  // namespace greenring::protocol

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace greenring::protocol;  // NOLINT
  std::string_view input(reinterpret_cast<const char*>(data), size);
  RequestHead head;
  const ParseResult result = ParseRequestHead(input, Limits{}, &head);
  if (result.kind == ParseResult::Kind::kComplete) {
    input.remove_prefix(result.head_bytes);
  } else {
    head.framing = BodyFraming::kChunked;
  }
  CheckBody(input, head.framing, head.content_length, Limits{});
  Limits tight;
  tight.body_bytes_max = 40;
  tight.chunk_extension_bytes_max = 8;
  tight.trailer_count_max = 2;
  tight.trailer_bytes_max = 32;
  CheckBody(input, head.framing, head.content_length, tight);
  return 0;
}
