// Names of resources in requests (control/config/resource_names.h). Thread-safe; never blocks.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "control/config/resource_names.h"

namespace greenring::control {

// OK, or INVALID_ARGUMENT with a violation of `field` that says what `name` should look like.
absl::Status CheckName(std::string_view field, const std::string& name, std::string_view pattern,
                       Dashes dashes = Dashes::kRefused);

}  // namespace greenring::control
