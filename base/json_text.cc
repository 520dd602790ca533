#include "base/json_text.h"

#include <time.h>

#include <cstdio>

#include "base/clock.h"

namespace greenring {
namespace {

// How many bytes at the beginning of `text` are one valid sequence of UTF-8; 0: none.
size_t Utf8SequenceBytes(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!continues(1) || !continues(2)) return 0;
    const bool is_overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool is_surrogate = first == 0xed && byte(1) >= 0xa0;
    return is_overlong || is_surrogate ? 0 : 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    const bool is_overlong = first == 0xf0 && byte(1) < 0x90;
    const bool is_too_large = first == 0xf4 && byte(1) >= 0x90;
    return is_overlong || is_too_large ? 0 : 4;
  }
  return 0;
}

void AppendEscaped(char c, std::string* out) {
  constexpr char kHexDigits[] = "0123456789abcdef";
  switch (c) {
    case '"':
      *out += "\\\"";
      return;
    case '\\':
      *out += "\\\\";
      return;
    case '\n':
      *out += "\\n";
      return;
    case '\r':
      *out += "\\r";
      return;
    case '\t':
      *out += "\\t";
      return;
    default:
      *out += "\\u00";
      *out += kHexDigits[(c >> 4) & 15];
      *out += kHexDigits[c & 15];
  }
}

void AppendName(std::string_view name, std::string* out) {
  if (out->back() != '{') *out += ',';
  out->append("\"").append(name).append("\":");
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  *out += '"';
  while (!text.empty()) {
    const char c = text.front();
    size_t size = 1;
    if (c == '"' || c == '\\' || (c >= 0 && c < 0x20) || c == 0x7f) {
      AppendEscaped(c, out);
    } else if (size = Utf8SequenceBytes(text); size > 0) {
      out->append(text.substr(0, size));
    } else {
      size = 1;
      *out += "\\ufffd";
    }
    text.remove_prefix(size);
  }
  *out += '"';
}

void AppendJsonField(std::string_view name, std::string_view value, std::string* out) {
  AppendName(name, out);
  AppendJsonString(value, out);
}

void AppendJsonField(std::string_view name, int64_t value, std::string* out) {
  AppendName(name, out);
  *out += std::to_string(value);
}

std::string JsonTime(int64_t ns) {
  const time_t seconds = ns / kNanosecondsPerSecond;
  tm utc;
  gmtime_r(&seconds, &utc);
  char text[48];
  const size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  const auto milliseconds = static_cast<int>(ns % kNanosecondsPerSecond / kNanosecondsPerMillisecond);
  std::snprintf(text + size, sizeof(text) - size, ".%03dZ", milliseconds);
  return text;
}

void AppendJsonMilliseconds(std::string_view name, int64_t duration_ns, std::string* out) {
  AppendName(name, out);
  char text[48];
  const int64_t microseconds = duration_ns > 0 ? duration_ns / kNanosecondsPerMicrosecond : 0;
  std::snprintf(text, sizeof(text), "%lld.%03d", static_cast<long long>(microseconds / 1000),
                static_cast<int>(microseconds % 1000));
  *out += text;
}

}  // namespace greenring
