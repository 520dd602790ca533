// How a response's body is framed, and the account of what may still be written of it.
//
//   ResponseBody body = ...;                                  // from ResponseEncoder::EncodeHead
//   size_t n = body.Admit(data.size());                       // the bytes of `data` to write; the rest is dropped
//   if (n > 0 && body.chunked()) WriteChunk: EncodeChunkStart(n, out), the n bytes, kChunkEnd
//   body.Finish();                                            // then kLastChunk if chunked(); close if !keep_alive()
//
// Plain data, no ownership. One thread at a time. Never parks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace greenring::protocol {

class ResponseBody {
 public:
  enum class Kind : uint8_t {
    kNone,        // HEAD, 204, 304: no byte of a body
    kLength,      // exactly as many as Content-Length says
    kChunked,     // HTTP/1.1 without a known length
    kUntilClose,  // HTTP/1.0 without a known length: the end of the connection is the end of the body
  };

  ResponseBody() = default;
  ResponseBody(Kind kind, int64_t length_bytes, bool keep_alive)
      : remaining_bytes_(kind == Kind::kLength ? length_bytes : 0), kind_(kind), keep_alive_(keep_alive) {}

  Kind kind() const { return kind_; }
  bool chunked() const { return kind_ == Kind::kChunked; }

  // How many of the application's next `size` bytes to write. The rest is beyond the framing: drop it.
  size_t Admit(size_t size) {
    if (kind_ == Kind::kChunked || kind_ == Kind::kUntilClose) return size;
    const size_t admitted = std::min<uint64_t>(size, static_cast<uint64_t>(remaining_bytes_));
    remaining_bytes_ -= static_cast<int64_t>(admitted);
    if (kind_ == Kind::kLength) excess_bytes_ += static_cast<int64_t>(size - admitted);
    return admitted;
  }

  // The application gave all it had. A body that is shorter than its Content-Length can only end with the connection.
  void Finish() {
    if (missing_bytes() > 0) keep_alive_ = false;
  }

  // Bytes the application owes to its Content-Length; worth a line in the error log when not 0 at the end.
  int64_t missing_bytes() const { return remaining_bytes_; }

  // Bytes the application gave beyond its Content-Length, which were cut off; worth a line in the error log.
  int64_t excess_bytes() const { return excess_bytes_; }

  // Whether the connection may carry another response after this one. Call Finish first.
  bool keep_alive() const { return keep_alive_; }

 private:
  int64_t remaining_bytes_ = 0;
  int64_t excess_bytes_ = 0;
  Kind kind_ = Kind::kNone;
  bool keep_alive_ = false;
};

// The most bytes EncodeChunkStart writes: 16 hex digits and CRLF.
inline constexpr size_t kChunkStartBytesMax = 18;

// Writes the size line of a chunk of `size` > 0 bytes; returns its length. Thread-safe. Never parks.
size_t EncodeChunkStart(size_t size, char* out);

inline constexpr std::string_view kChunkEnd = "\r\n";        // after a chunk's bytes
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";  // after the last chunk; no trailers

}  // namespace greenring::protocol
