#include "control/config/nearest.h"

#include <algorithm>
#include <cctype>
#include <numeric>

namespace greenring::control {
namespace {

// What is longer is no misspelling; it bounds the work, too.
constexpr size_t kNameBytesMax = 64;

std::string Folded(std::string_view text) {
  std::string folded(text);
  std::transform(folded.begin(), folded.end(), folded.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : std::tolower(c); });
  return folded;
}

// Levenshtein's, a row at a time.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Nearest(std::string_view text, const std::vector<std::string>& names) {
  if (text.size() > kNameBytesMax) return "";
  const std::string folded = Folded(text);
  std::string nearest;
  size_t best = std::max<size_t>(1, text.size() / 3) + 1;
  for (const std::string& name : names) {
    const size_t distance = Distance(folded, Folded(name));
    if (distance >= best) continue;
    best = distance;
    nearest = name;
  }
  return nearest;
}

std::string DidYouMean(std::string_view text, const std::vector<std::string>& names) {
  const std::string nearest = Nearest(text, names);
  return nearest.empty() ? "" : " (did you mean " + nearest + "?)";
}

}  // namespace greenring::control
