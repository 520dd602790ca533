// What the module adds to every request: environ's extras, the waits that an application has asked for before it yields
// an item, and uwsgi.after_req_hook.
#pragma once

#include "pyhost/request_extension.h"

namespace greenring::pyhost {

// After RegisterUwsgiModule. Lives as long as the process.
RequestExtension* UwsgiExtension();

}  // namespace greenring::pyhost
