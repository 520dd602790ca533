// What is to be seen, as text: `top` without a terminal. Terminal draws it, tests read it.
#pragma once

#include <string>
#include <vector>

namespace greenring::greenctl {

enum class Style {
  kPlain,
  kBold,
  kHeading,   // of a table
  kSelected,  // the line that keys are about
  kDim,
  kGood,
  kWarning,
  kBad,
};

struct Span {
  std::string text;  // printable UTF-8
  Style style = Style::kPlain;
};

using Row = std::vector<Span>;
using Screen = std::vector<Row>;  // from the top

// Keys that are no characters; characters are their code points.
enum Key : int {
  kKeyNone = 0,
  kKeyEscape = 27,
  kKeyUp = 0x110000,  // beyond Unicode
  kKeyDown,
  kKeyPageUp,
  kKeyPageDown,
  kKeyEnter,
  kKeyTab,
  kKeyResize,
};

// The text of a row without its styles.
std::string TextOf(const Row& row);

// `row` cut, or filled up with blanks, to exactly `width` columns.
Row Fit(Row row, int width);

// `text` in `width` columns: cut with an ellipsis, or filled up.
std::string Left(const std::string& text, int width);
std::string Right(const std::string& text, int width);

}  // namespace greenring::greenctl
