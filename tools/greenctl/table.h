// Columns of text, aligned.
//
//   Table table({{"NAME"}, {"WORKERS", Table::kRight}});
//   table.Add({"web", "4/4"});
//   table.Print(environment.out, /*columns=*/80);
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace greenring::greenctl {

class Table {
 public:
  enum Alignment { kLeft, kRight };
  struct Column {
    std::string title;
    Alignment alignment = kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // A cell for each column; an empty one is shown as "-". Cells are made Printable.
  void Add(std::vector<std::string> cells);

  bool empty() const { return rows_.empty(); }

  // With titles. Lines longer than `width` columns are cut; 0: never, whatever a terminal makes of them.
  void Print(std::ostream& out, int width) const;

 private:
  std::string Line(const std::vector<std::string>& cells, const std::vector<int>& widths) const;

  const std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace greenring::greenctl
