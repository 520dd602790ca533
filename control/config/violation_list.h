// Collects what is wrong with a message, in words that say what is possible and what was given.
//
//   ViolationList wrong;
//   wrong.CheckRange("workers", pool.workers(), 1, kWorkersMax);      // "must be from 1 to 1024, not -3"
//   return wrong.Take();
//
// Not thread-safe; never blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "control/config/field_violations.h"
#include "google/protobuf/duration.pb.h"

namespace greenring::control {

class ViolationList {
 public:
  // What is found from now on is inside of `prefix` ("pools[1].").
  void SetPrefix(std::string prefix) { prefix_ = std::move(prefix); }

  void Add(const std::string& field, const std::string& description) {
    violations_.push_back({prefix_ + field, description});
  }

  void CheckRange(const std::string& field, int64_t value, int64_t min, int64_t max);
  // As CheckRange; 0 stands for the default.
  void CheckRangeOrUnset(const std::string& field, int64_t value, int64_t min, int64_t max) {
    if (value != 0) CheckRange(field, value, min, max);
  }
  void CheckBytes(const std::string& field, int64_t value, int64_t min, int64_t max);
  void CheckNotNegative(const std::string& field, int64_t value);

  // 0 is possible, too, when `or_zero`.
  void CheckDuration(const std::string& field, const google::protobuf::Duration& value, absl::Duration min,
                     absl::Duration max, bool or_zero);

  // A file or directory, which need not be there. Empty: unset.
  void CheckPath(const std::string& field, const std::string& path);

  // No null byte: it would end the text for the system.
  bool CheckText(const std::string& field, const std::string& text);

  std::vector<FieldViolation> Take() { return std::exchange(violations_, {}); }

 private:
  std::string prefix_;
  std::vector<FieldViolation> violations_;
};

// "\"a\\n\"": so that whatever it holds fits into a message, cut at 200 bytes.
std::string Quoted(const std::string& text);

}  // namespace greenring::control
