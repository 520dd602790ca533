// The shape of resource names: "pools/web", "pools/web/workers/3", "pools/web/workers/3/requests/17", "operations/5".
// Whether there is such a thing, the control plane knows. Thread-safe; never blocks.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace greenring::control {

// OK, or INVALID_ARGUMENT with a violation of `field` that says what `name` should look like. `pattern` is what the
// API's comments have: "pools/{pool}/workers/{worker}". A segment of the name may be "-" where `dashes` allows it.
enum class Dashes { kRefused, kForAny };
absl::Status CheckName(std::string_view field, const std::string& name, std::string_view pattern,
                       Dashes dashes = Dashes::kRefused);

inline constexpr std::string_view kPoolPattern = "pools/{pool}";
inline constexpr std::string_view kWorkerPattern = "pools/{pool}/workers/{worker}";
inline constexpr std::string_view kRequestPattern = "pools/{pool}/workers/{worker}/requests/{request}";
inline constexpr std::string_view kOperationPattern = "operations/{operation}";

}  // namespace greenring::control
