#include "tools/greenctl/table.h"

#include <algorithm>

#include "tools/greenctl/human.h"

namespace greenring::greenctl {
namespace {

constexpr int kGap = 2;  // between columns

}  // namespace

void Table::Add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) cell = cell.empty() ? "-" : Printable(cell);
  rows_.push_back(std::move(cells));
}

void Table::Print(std::ostream& out, int width) const {
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  std::vector<int> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    int widest = DisplayWidth(titles[i]);
    for (const auto& row : rows_) widest = std::max(widest, DisplayWidth(row[i]));
    widths.push_back(widest);
  }
  auto print = [&](const std::string& line) { out << (width > 0 ? Truncate(line, width) : line) << '\n'; };
  print(Line(titles, widths));
  for (const auto& row : rows_) print(Line(row, widths));
}

std::string Table::Line(const std::vector<std::string>& cells, const std::vector<int>& widths) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - DisplayWidth(cells[i]), ' ');
    if (i > 0) line.append(kGap, ' ');
    line += columns_[i].alignment == kRight ? padding + cells[i] : cells[i] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace greenring::greenctl
