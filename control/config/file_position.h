// Where in a file something is, and what is wrong there.
//
//   FileErrors errors("greenring.yaml");
//   errors.Add({12, 7}, "pools[0].timeouts.drain", "must be a duration, as in 30s");
//   return errors.ToStatus();       // "greenring.yaml:12:7: pools[0].timeouts.drain: must be a duration, as in 30s"
//
// Not thread-safe; never blocks.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace greenring::control {

struct FilePosition {
  int line = 0;    // from 1; 0: unknown
  int column = 0;  // from 1
};

// Of the fields that a file has set, by their path ("pools[0].timeouts.drain").
using FieldPositions = std::map<std::string, FilePosition>;

// Of the field, or of the innermost that it is in and that is there.
FilePosition PositionOf(const FieldPositions& positions, std::string field);

class FileErrors {
 public:
  explicit FileErrors(std::string path) : path_(std::move(path)) {}

  bool empty() const { return errors_.empty(); }

  // `field` may be empty.
  void Add(FilePosition position, const std::string& field, const std::string& what);

  // INVALID_ARGUMENT, a line for each in the order of their positions, or OK when there are none.
  absl::Status ToStatus() const;

 private:
  struct Error {
    FilePosition position;
    std::string text;
  };

  const std::string path_;
  std::vector<Error> errors_;
};

}  // namespace greenring::control
