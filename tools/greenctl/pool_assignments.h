// "timeouts.drain=10s" and the like: changes of a pool's fields, one by one.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "greenring/control/v1/pool_service.pb.h"

namespace greenring::greenctl {

namespace v1 = ::greenring::control::v1;

// The request that changes `current` so, mask and all. Values are as in YAML, of text taken literally; an empty one
// means the default. An entry of a map ("application.environment.DEBUG=1") leaves the others as they are in `current`,
// whose etag the request then has. Usage errors name the field, and the one that was probably meant.
absl::StatusOr<v1::UpdatePoolRequest> ChangeOf(const v1::Pool& current, const std::vector<std::string>& assignments);

// Every path that may be assigned, as in "timeouts.drain": for completion.
std::vector<std::string> AssignablePaths();

}  // namespace greenring::greenctl
