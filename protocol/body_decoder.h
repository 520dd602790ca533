// Takes a request body out of its framing: by length, or chunked with extensions and trailers.
//
//   decoder.Reset(head.framing, head.content_length, limits);
//   while (!decoder.done()) {
//     BodyDecoder::Step step = decoder.Decode(received);
//     received.remove_prefix(step.consumed);
//     if (step.state == State::kError) return Refuse(step.status, step.reason);          // and close
//     if (step.state == State::kNeedMore) receive more;
//     if (step.state == State::kData) Use(step.data);                                     // a view into `received`
//   }                                                   // what is left in `received` is the next request
//
// Strict by RFC 9112 section 7.1: hex digits only, exact CRLFs, extensions by the grammar and within a limit, trailers
// by the header rules. Extensions and trailers are checked and forgotten. Owns nothing, allocates nothing. One thread
// at a time. Never parks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/limits.h"
#include "protocol/request_head.h"

namespace greenring::protocol {

// 64 bytes: one lives in every connection that is reading a body.
class BodyDecoder {
 public:
  enum class State : uint8_t {
    kNeedMore,  // all input is consumed and gave no data
    kData,      // `data` is not empty; call again with what follows `consumed`, unless done()
    kDone,      // the body is over; what follows `consumed` is the next request
    kError,     // refuse with `status` and close
  };

  struct Step {
    size_t consumed = 0;
    std::string_view data = {};  // inside the first `consumed` bytes of the input
    State state = State::kNeedMore;
    int status = 0;                // with kError: 400, 413 or 431
    const char* reason = nullptr;  // with kError: static text
  };

  // A body without bytes, done from the start.
  BodyDecoder() = default;

  // Starts a body. `limits` must outlive it. `content_length` counts only with kLength.
  void Reset(BodyFraming framing, int64_t content_length, const Limits& limits);

  // Goes on with the body's next bytes. Returns after each piece of data; `consumed` tells how far it came. After an
  // error every call returns that error. Never parks.
  Step Decode(std::string_view bytes);

  // The body is over: it may be so already with the last kData.
  bool done() const { return phase_ == Phase::kDone; }

  // Data bytes that are still to come: exact for kLength, of the current chunk for kChunked.
  int64_t remaining_hint() const { return remaining_bytes_; }

 private:
  // Where in the framing the next byte stands.
  enum class Phase : uint8_t {
    kDone,
    kLengthData,     // body by Content-Length
    kSize,           // the digits of a chunk's size
    kExtBws,         // white space before ';'
    kExtNameBws,     // white space after ';'
    kExtName,        // an extension's name
    kExtNameEndBws,  // white space after the name: '=' or ';' must follow
    kExtValueBws,    // white space after '='
    kExtToken,       // a value that is a token
    kExtQuoted,      // inside a quoted value
    kExtQuotedPair,  // after a backslash in it
    kExtQuotedEnd,   // after its closing quote
    kSizeLf,         // the LF that ends the size line
    kChunkData,
    kChunkDataCr,
    kChunkDataLf,
    kTrailerStart,  // a trailer's first byte, or the CR of the final empty line
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kFinalLf,
    kError,
  };

  Step DecodeLength(std::string_view bytes);
  Step DecodeChunked(std::string_view bytes);
  Step FailedStep() const;

  // Moves into kError. Returns false, so that what moves over one byte can end with it.
  bool Fail(int status, const char* reason);

  // Each moves over one byte of its part of the framing.
  bool ConsumeSizeLine(char c);
  bool ConsumeChunkEnd(char c);
  bool ConsumeTrailer(char c);
  bool StartExtensionPart(char c, Phase phase);
  bool StartChunk();
  bool EndTrailerName();

  const Limits* limits_ = nullptr;
  const char* reason_ = nullptr;    // with kError
  int64_t remaining_bytes_ = 0;     // of the body (kLengthData) or of the chunk
  int64_t body_bytes_ = 0;          // of all chunks so far, the current one included
  uint64_t trailer_name_hash_ = 0;  // of the name so far, in lower case
  uint32_t section_bytes_ = 0;      // of this chunk's extensions, or of the trailer section
  uint16_t status_ = 0;             // with kError
  uint16_t trailer_count_ = 0;
  uint8_t size_digit_count_ = 0;
  Phase phase_ = Phase::kDone;
};

}  // namespace greenring::protocol
