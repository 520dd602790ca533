// Messages on a stream of bytes: each is preceded by its size in bytes, 32 bits, least significant byte first.
//
//   AppendFrame(&out, [&](std::string* to) { return message.AppendToString(to); });
//
//   FrameDecoder decoder;
//   decoder.Append(received);
//   while (decoder.Next(&payload) == FrameDecoder::Result::kFrame) Handle(payload);
//
// Sans IO: whatever the bytes are, the decoder answers. One thread at a time. Never parks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace greenring::protocol {

inline constexpr size_t kFrameHeaderBytes = 4;

// Of a payload. A list of 10,000 requests with long targets is about 12 MiB; more is a mistake, or not ours.
inline constexpr size_t kFramePayloadBytesMax = 16 << 20;

class FrameDecoder {
 public:
  enum class Result : uint8_t {
    kFrame,    // here is one
    kMore,     // its rest has not come yet
    kTooLong,  // the stream is broken: a payload is said to be longer than kFramePayloadBytesMax. For good
  };

  void Append(std::string_view bytes);

  // With kFrame `*payload` is the next frame's, valid until the next call of the decoder.
  Result Next(std::string_view* payload);

  // Whether the stream may end here: not in the middle of a frame.
  bool at_boundary() const { return begin_ == buffer_.size(); }

 private:
  std::string buffer_;
  size_t begin_ = 0;  // of what has not been given out
};

// Puts the size of the payload, which is what stands behind it, into the header at `header` of `out`; false when that
// is too long for a frame.
bool FinishFrame(std::string* out, size_t header);

// Appends a frame whose payload is what `append(out)` appends. False, with `out` as it was, when that returns false or
// the payload is too long.
template <typename F>
bool AppendFrame(std::string* out, F append) {
  const size_t header = out->size();
  out->append(kFrameHeaderBytes, '\0');
  if (append(out) && FinishFrame(out, header)) return true;
  out->resize(header);
  return false;
}

}  // namespace greenring::protocol
