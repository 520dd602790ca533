#include "protocol/response_body.h"

#include <charconv>

namespace greenring::protocol {

size_t EncodeChunkStart(size_t size, char* out) {
  char* end = std::to_chars(out, out + kChunkStartBytesMax, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return static_cast<size_t>(end - out);
}

}  // namespace greenring::protocol
