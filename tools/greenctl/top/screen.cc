#include "tools/greenctl/top/screen.h"

#include <algorithm>

#include "tools/greenctl/human.h"

namespace greenring::greenctl {

std::string TextOf(const Row& row) {
  std::string text;
  for (const Span& span : row) text += span.text;
  return text;
}

Row Fit(Row row, int width) {
  int left = width;
  for (Span& span : row) {
    span.text = Truncate(span.text, left);
    left -= DisplayWidth(span.text);
  }
  if (left > 0) row.push_back({std::string(left, ' '), row.empty() ? Style::kPlain : row.back().style});
  return row;
}

std::string Left(const std::string& text, int width) {
  const std::string cut = Truncate(text, width);
  return cut + std::string(std::max(width - DisplayWidth(cut), 0), ' ');
}

std::string Right(const std::string& text, int width) {
  const std::string cut = Truncate(text, width);
  return std::string(std::max(width - DisplayWidth(cut), 0), ' ') + cut;
}

}  // namespace greenring::greenctl
