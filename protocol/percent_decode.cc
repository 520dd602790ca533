#include "protocol/percent_decode.h"

#include <cstring>

#include "protocol/bytes.h"

namespace greenring::protocol {

size_t PercentDecode(std::string_view in, char* out) {
  const char* p = in.data();
  const char* const end = p + in.size();
  char* const out_begin = out;
  while (p != end) {
    const void* found = std::memchr(p, '%', static_cast<size_t>(end - p));
    const char* const percent = found == nullptr ? end : static_cast<const char*>(found);
    const size_t plain_bytes = static_cast<size_t>(percent - p);
    if (out != p) std::memmove(out, p, plain_bytes);
    out += plain_bytes;
    p = percent;
    if (p == end) break;
    if (end - p >= 3 && Is(p[1], kHex) && Is(p[2], kHex)) {
      *out++ = static_cast<char>(HexValue(p[1]) << 4 | HexValue(p[2]));
      p += 3;
    } else {
      *out++ = *p++;
    }
  }
  return static_cast<size_t>(out - out_begin);
}

}  // namespace greenring::protocol
