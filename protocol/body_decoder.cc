#include "protocol/body_decoder.h"

#include <algorithm>

#include "base/check.h"
#include "protocol/bytes.h"

namespace greenring::protocol {
namespace {

static_assert(sizeof(BodyDecoder) <= 64);

// FNV-1a: names are compared by hash, because a name that arrives in pieces is not kept. A collision would refuse an
// innocent trailer once in 2^60.
constexpr uint64_t kHashStart = 0xcbf29ce484222325;
constexpr uint64_t HashByte(uint64_t hash, char c) {
  const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return (hash ^ static_cast<unsigned char>(lower)) * 0x100000001b3;
}
constexpr uint64_t HashName(std::string_view name) {
  uint64_t hash = kHashStart;
  for (char c : name) hash = HashByte(hash, c);
  return hash;
}

// Fields that frame, route, authenticate or describe the message: RFC 9110 section 6.5.1 forbids them in trailers.
constexpr uint64_t kForbiddenTrailers[] = {
    HashName("authorization"), HashName("connection"),   HashName("content-encoding"), HashName("content-length"),
    HashName("content-range"), HashName("content-type"), HashName("cookie"),           HashName("expect"),
    HashName("host"),          HashName("te"),           HashName("trailer"),          HashName("transfer-encoding"),
};

}  // namespace

void BodyDecoder::Reset(BodyFraming framing, int64_t content_length, const Limits& limits) {
  *this = BodyDecoder();
  limits_ = &limits;
  if (framing == BodyFraming::kChunked) {
    phase_ = Phase::kSize;
  } else if (framing == BodyFraming::kLength) {
    GREENRING_DCHECK(content_length >= 0);
    if (limits.body_bytes_max >= 0 && content_length > limits.body_bytes_max) {
      Fail(413, "request body too large");
    } else if (content_length > 0) {
      remaining_bytes_ = content_length;
      phase_ = Phase::kLengthData;
    }
  }
}

BodyDecoder::Step BodyDecoder::Decode(std::string_view bytes) {
  switch (phase_) {
    case Phase::kDone:
      return Step{.state = State::kDone};
    case Phase::kError:
      return FailedStep();
    case Phase::kLengthData:
      return DecodeLength(bytes);
    default:
      return DecodeChunked(bytes);
  }
}

BodyDecoder::Step BodyDecoder::DecodeLength(std::string_view bytes) {
  if (bytes.empty()) return Step{};
  const size_t size = static_cast<size_t>(std::min<uint64_t>(bytes.size(), static_cast<uint64_t>(remaining_bytes_)));
  remaining_bytes_ -= static_cast<int64_t>(size);
  if (remaining_bytes_ == 0) phase_ = Phase::kDone;
  return Step{.consumed = size, .data = bytes.substr(0, size), .state = State::kData};
}

BodyDecoder::Step BodyDecoder::DecodeChunked(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    if (phase_ == Phase::kChunkData) {
      const uint64_t available = bytes.size() - i;
      const size_t size = static_cast<size_t>(std::min(available, static_cast<uint64_t>(remaining_bytes_)));
      remaining_bytes_ -= static_cast<int64_t>(size);
      if (remaining_bytes_ == 0) phase_ = Phase::kChunkDataCr;
      return Step{.consumed = i + size, .data = bytes.substr(i, size), .state = State::kData};
    }
    const char c = bytes[i++];
    const bool ok = phase_ <= Phase::kSizeLf        ? ConsumeSizeLine(c)
                    : phase_ <= Phase::kChunkDataLf ? ConsumeChunkEnd(c)
                                                    : ConsumeTrailer(c);
    if (!ok) return FailedStep();
    if (phase_ == Phase::kDone) return Step{.consumed = i, .state = State::kDone};
  }
  return Step{.consumed = bytes.size()};
}

// chunk-size [ chunk-ext ] CRLF of RFC 9112 section 7.1:
//   chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), chunk-ext-val = token / quoted-string
bool BodyDecoder::ConsumeSizeLine(char c) {
  if (phase_ != Phase::kSize && phase_ != Phase::kSizeLf &&
      ++section_bytes_ > limits_->chunk_extension_bytes_max + 1) {  // the CR that ends them is not counted
    return Fail(400, "chunk extensions too long");
  }
  switch (phase_) {
    case Phase::kSize:
      if (Is(c, kHex)) {
        if (++size_digit_count_ > kChunkSizeDigitsMax) return Fail(400, "chunk size too long");
        remaining_bytes_ = remaining_bytes_ * 16 + HexValue(c);
        return true;
      }
      if (size_digit_count_ == 0) break;
      section_bytes_ = 1;
      return StartExtensionPart(c, Phase::kExtBws);
    case Phase::kExtBws:
      if (IsBlank(c)) return true;
      if (c != ';') break;
      phase_ = Phase::kExtNameBws;
      return true;
    case Phase::kExtNameBws:
      if (IsBlank(c)) return true;
      if (!Is(c, kToken)) break;
      phase_ = Phase::kExtName;
      return true;
    case Phase::kExtName:
      if (Is(c, kToken)) return true;
      if (c == '=') {
        phase_ = Phase::kExtValueBws;
        return true;
      }
      return StartExtensionPart(c, Phase::kExtNameEndBws);
    case Phase::kExtNameEndBws:
      if (IsBlank(c)) return true;
      if (c != '=' && c != ';') break;
      phase_ = c == '=' ? Phase::kExtValueBws : Phase::kExtNameBws;
      return true;
    case Phase::kExtValueBws:
      if (IsBlank(c)) return true;
      if (c != '"' && !Is(c, kToken)) break;
      phase_ = c == '"' ? Phase::kExtQuoted : Phase::kExtToken;
      return true;
    case Phase::kExtToken:
      if (Is(c, kToken)) return true;
      return StartExtensionPart(c, Phase::kExtBws);
    case Phase::kExtQuoted:
      if (IsControl(c)) break;
      if (c == '"') phase_ = Phase::kExtQuotedEnd;
      if (c == '\\') phase_ = Phase::kExtQuotedPair;
      return true;
    case Phase::kExtQuotedPair:
      if (IsControl(c)) break;
      phase_ = Phase::kExtQuoted;
      return true;
    case Phase::kExtQuotedEnd:
      return StartExtensionPart(c, Phase::kExtBws);
    case Phase::kSizeLf:
      if (c != '\n') return Fail(400, "bare CR after a chunk size");
      return StartChunk();
    default:
      GREENRING_CHECK(false);
  }
  return Fail(400, phase_ == Phase::kSize ? "invalid chunk size" : "invalid chunk extension");
}

// After a size, a name or a value: the line's end, the next extension, or white space that leads to one.
bool BodyDecoder::StartExtensionPart(char c, Phase blank_phase) {
  if (c == '\r') {
    phase_ = Phase::kSizeLf;
  } else if (c == ';') {
    phase_ = Phase::kExtNameBws;
  } else if (IsBlank(c)) {
    phase_ = blank_phase;
  } else {
    return Fail(400, phase_ == Phase::kSize ? "invalid chunk size" : "invalid chunk extension");
  }
  return true;
}

// The size line is complete.
bool BodyDecoder::StartChunk() {
  section_bytes_ = 0;
  size_digit_count_ = 0;
  if (remaining_bytes_ == 0) {
    phase_ = Phase::kTrailerStart;
    return true;
  }
  // Neither sum can overflow: body_bytes_ stays below the limit, or, without one, below 2^63 for the next 200 years.
  if (limits_->body_bytes_max >= 0 && remaining_bytes_ > limits_->body_bytes_max - body_bytes_) {
    return Fail(413, "request body too large");
  }
  body_bytes_ += remaining_bytes_;
  phase_ = Phase::kChunkData;
  return true;
}

bool BodyDecoder::ConsumeChunkEnd(char c) {
  if (phase_ == Phase::kChunkDataCr) {
    if (c != '\r') return Fail(400, "no CRLF after a chunk's data");
    phase_ = Phase::kChunkDataLf;
  } else {
    if (c != '\n') return Fail(400, "no CRLF after a chunk's data");
    phase_ = Phase::kSize;
  }
  return true;
}

bool BodyDecoder::ConsumeTrailer(char c) {
  if (++section_bytes_ > limits_->trailer_bytes_max + 2) {  // the final empty line is not counted
    return Fail(431, "trailer section too large");
  }
  switch (phase_) {
    case Phase::kTrailerStart:
      if (c == '\r') {
        phase_ = Phase::kFinalLf;
        return true;
      }
      if (!Is(c, kToken)) return Fail(400, "invalid byte in a trailer name");
      if (++trailer_count_ > limits_->trailer_count_max) return Fail(431, "too many trailers");
      trailer_name_hash_ = HashByte(kHashStart, c);
      phase_ = Phase::kTrailerName;
      return true;
    case Phase::kTrailerName:
      if (c == ':') return EndTrailerName();
      if (!Is(c, kToken)) return Fail(400, "invalid byte in a trailer name");
      trailer_name_hash_ = HashByte(trailer_name_hash_, c);
      return true;
    case Phase::kTrailerValue:
      if (c == '\r') {
        phase_ = Phase::kTrailerLf;
        return true;
      }
      return !IsControl(c) || Fail(400, "control byte in a trailer");
    case Phase::kTrailerLf:
      if (c != '\n') return Fail(400, "bare CR in a trailer");
      phase_ = Phase::kTrailerStart;
      return true;
    default:  // kFinalLf
      if (c != '\n') return Fail(400, "bare CR in a trailer");
      phase_ = Phase::kDone;
      return true;
  }
}

bool BodyDecoder::EndTrailerName() {
  for (uint64_t forbidden : kForbiddenTrailers) {
    if (trailer_name_hash_ == forbidden) return Fail(400, "forbidden trailer");
  }
  phase_ = Phase::kTrailerValue;
  return true;
}

bool BodyDecoder::Fail(int status, const char* reason) {
  phase_ = Phase::kError;
  remaining_bytes_ = 0;
  status_ = static_cast<uint16_t>(status);
  reason_ = reason;
  return false;
}

BodyDecoder::Step BodyDecoder::FailedStep() const {
  return Step{.state = State::kError, .status = status_, .reason = reason_};
}

}  // namespace greenring::protocol
