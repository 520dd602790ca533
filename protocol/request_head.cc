#include "protocol/request_head.h"

#include "protocol/bytes.h"

namespace greenring::protocol {
namespace {

// Whether `name` is HTTP_ and `lower_name` in capitals, with '_' for '-'.
bool StandsFor(std::string_view name, std::string_view lower_name) {
  constexpr std::string_view kPrefix = "HTTP_";
  if (name.size() != kPrefix.size() + lower_name.size() || !name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  for (size_t i = 0; i < name.size(); ++i) {
    const char lower = lower_name[i];
    const char expected = lower == '-' ? '_' : lower >= 'a' && lower <= 'z' ? static_cast<char>(lower - 0x20) : lower;
    if (name[i] != expected) return false;
  }
  return true;
}

}  // namespace

std::optional<std::string_view> FindHeader(const RequestHead& head, std::string_view lower_name) {
  for (const HeaderField& field : head.headers) {
    if (EqualsIgnoreCase(field.name, lower_name)) return field.value;
  }
  for (size_t i = head.variables.size(); i > 0; --i) {
    if (StandsFor(head.variables[i - 1].name, lower_name)) return head.variables[i - 1].value;
  }
  return std::nullopt;
}

}  // namespace greenring::protocol
