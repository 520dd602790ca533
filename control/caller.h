// Who asked for something: for the log, for events and for operations.
#pragma once

#include <string>

namespace greenring::control {

struct Caller {
  // "uid 1000 (alice), pid 4711", "CN=deploy", "signal 1", "the command line".
  std::string name;
};

}  // namespace greenring::control
