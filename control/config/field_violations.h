// What is wrong with a message, field by field, and how it travels in a status.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace greenring::control {

struct FieldViolation {
  std::string field;        // "timeouts.drain", "listeners[1].address"; relative to the message
  std::string description;  // "must be from 1ms to 10s, not 20s"
};

// INVALID_ARGUMENT whose text names all of them, with google.rpc.BadRequest as payload; OK when there are none.
// `prefix` is put before each field ("pool.").
absl::Status ToStatus(const std::vector<FieldViolation>& violations, const std::string& prefix = "");

// Those of a status that ToStatus has made; empty for others.
std::vector<FieldViolation> FieldViolationsOf(const absl::Status& status);

}  // namespace greenring::control
