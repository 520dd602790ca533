// Finds the WSGI application that the operator named.
//
//   absl::StatusOr<Application> application = LoadApplication("shop.wsgi:app");
//
// Accepted: `module:attribute` (dotted on both sides), `module` (its `application`, else its `app`), the path of a .py
// file with or without `:attribute`, and a call of a factory with literal arguments, `module:create_app("prod",
// debug=False)`. On the interpreter's main thread, GIL held. Never parks.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

struct Application {
  PyRef callable;
  std::string spec;  // as it was named, for logs
};

// The URL of the payload that a status has when the application's own code failed: the traceback, as `python` would
// print it.
inline constexpr char kTracebackPayload[] = "greenring/traceback";

// On failure the status is one line that says what to do; when the application's own code failed, its traceback has
// gone to stderr before, and is the payload. GIL held. Never parks.
absl::StatusOr<Application> LoadApplication(std::string_view spec);

}  // namespace greenring::pyhost
