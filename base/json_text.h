// JSON strings, for logs that are one object a line.
//
//   std::string line = "{\"message\":";
//   AppendJsonString("said \"no\"\n", &line);              // "said \"no\"\n" in quotes, escaped
//
// The result is one line of valid JSON (RFC 8259) whatever the text is: control bytes are escaped, a byte that is not
// part of valid UTF-8 becomes U+FFFD. Thread-safe. Never parks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace greenring {

// With its quotes.
void AppendJsonString(std::string_view text, std::string* out);

// `"name":"value"`, after a comma unless the object, which ends `*out`, is still empty.
void AppendJsonField(std::string_view name, std::string_view value, std::string* out);
void AppendJsonField(std::string_view name, int64_t value, std::string* out);

// An instant of the wall clock in RFC 3339 with milliseconds, in UTC: "2026-01-31T12:00:00.123Z". `ns` is since 1970.
std::string JsonTime(int64_t ns);

// Milliseconds with three decimals, as a number.
void AppendJsonMilliseconds(std::string_view name, int64_t duration_ns, std::string* out);

}  // namespace greenring
