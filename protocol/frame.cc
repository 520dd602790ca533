#include "protocol/frame.h"

namespace greenring::protocol {

void FrameDecoder::Append(std::string_view bytes) {
  buffer_.erase(0, begin_);
  begin_ = 0;
  buffer_.append(bytes);
}

FrameDecoder::Result FrameDecoder::Next(std::string_view* payload) {
  const std::string_view rest = std::string_view(buffer_).substr(begin_);
  if (rest.size() < kFrameHeaderBytes) return Result::kMore;
  size_t size = 0;
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) size |= static_cast<size_t>(static_cast<uint8_t>(rest[i])) << (8 * i);
  if (size > kFramePayloadBytesMax) return Result::kTooLong;
  if (rest.size() - kFrameHeaderBytes < size) return Result::kMore;
  *payload = rest.substr(kFrameHeaderBytes, size);
  begin_ += kFrameHeaderBytes + size;
  return Result::kFrame;
}

bool FinishFrame(std::string* out, size_t header) {
  const size_t size = out->size() - header - kFrameHeaderBytes;
  if (size > kFramePayloadBytesMax) return false;
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) (*out)[header + i] = static_cast<char>(size >> (8 * i) & 0xff);
  return true;
}

}  // namespace greenring::protocol
