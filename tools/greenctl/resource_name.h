// Names of resources as people type and read them: "web" for pools/web, "web/3" for pools/web/workers/3, "web/3/17" for
// pools/web/workers/3/requests/17, "42" for operations/42. Full names are understood everywhere. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace greenring::greenctl {

// INVALID_ARGUMENT, with an example, for what cannot be such a name. Whether it exists is not asked.
absl::StatusOr<std::string> PoolName(absl::string_view text);
absl::StatusOr<std::string> WorkerName(absl::string_view text);
absl::StatusOr<std::string> RequestName(absl::string_view text);
absl::StatusOr<std::string> OperationName(absl::string_view text);

// What it names, by its form; an operation is recognized by its full name only.
enum class ResourceKind { kPool, kWorker, kRequest, kOperation };
absl::StatusOr<ResourceKind> KindOf(absl::string_view text);

// The short form of a full name; anything else is returned as it is. Operations stay "operations/42", so that they
// are not taken for pools.
std::string ShortName(absl::string_view name);

// The pool of a full name, "pools/web"; empty for an operation's.
std::string PoolOf(absl::string_view name);

}  // namespace greenring::greenctl
