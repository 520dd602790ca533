// However a stream is cut into pieces, the decoder gives out the same payloads; and encoding them again gives the bytes
// that they were made of.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "protocol/frame.h"

namespace {

using greenring::protocol::AppendFrame;
using greenring::protocol::FrameDecoder;

FrameDecoder::Result TakeAll(FrameDecoder* decoder, std::vector<std::string>* payloads) {
  std::string_view payload;
  FrameDecoder::Result result;
  while ((result = decoder->Next(&payload)) == FrameDecoder::Result::kFrame) payloads->emplace_back(payload);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  FrameDecoder whole;
  std::vector<std::string> payloads;
  whole.Append(stream);
  const FrameDecoder::Result result = TakeAll(&whole, &payloads);

  FrameDecoder pieces;
  std::vector<std::string> piecewise;
  const size_t piece_bytes = size == 0 ? 1 : data[0] % 7 + 1;
  FrameDecoder::Result last = FrameDecoder::Result::kMore;
  for (size_t at = 0; at < size; at += piece_bytes) {
    pieces.Append(stream.substr(at, piece_bytes));
    last = TakeAll(&pieces, &piecewise);
  }
  GREENRING_CHECK(piecewise == payloads && last == result);

  std::string again;
  for (const std::string& payload : payloads) {
    GREENRING_CHECK(AppendFrame(&again, [&payload](std::string* to) {
      to->append(payload);
      return true;
    }));
  }
  GREENRING_CHECK(stream.substr(0, again.size()) == again);
  return 0;
}
