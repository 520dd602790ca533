#include "control/service/page.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/config/field_violations.h"

namespace greenring::control {
namespace {

// Tokens of another version of the server are refused, not misread.
constexpr char kVersion[] = "1";

std::string Prefix(absl::string_view list) { return absl::StrCat(kVersion, "\n", list, "\n"); }

}  // namespace

std::string MakePageToken(const std::string& list, const std::string& key) {
  return absl::WebSafeBase64Escape(absl::StrCat(Prefix(list), key));
}

absl::StatusOr<PageStart> ParsePage(int page_size, const std::string& page_token, std::string_view list,
                                    PageSizes sizes) {
  PageStart start;
  start.list = std::string(list);
  if (page_size < 0) return ToStatus({{"page_size", "must be 0 (the default) or more"}});
  start.size = page_size == 0 ? sizes.standard : std::min(page_size, sizes.max);
  if (page_token.empty()) return start;
  std::string text;
  absl::string_view key;
  if (absl::WebSafeBase64Unescape(page_token, &text)) key = text;
  if (!absl::ConsumePrefix(&key, Prefix(start.list)) || key.empty()) {
    return ToStatus({{"page_token", "is no next_page_token of this list: begin again without one"}});
  }
  start.after = std::string(key);
  return start;
}

}  // namespace greenring::control
