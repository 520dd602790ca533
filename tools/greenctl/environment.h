// What a command may use of the process that it runs in: streams, variables, the terminal's size. Tests have their own.
#pragma once

#include <functional>
#include <istream>
#include <ostream>
#include <string>

#include "tools/greenctl/interrupt.h"

namespace greenring::greenctl {

struct Environment {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;  // results
  std::ostream* err = nullptr;  // progress, warnings and errors
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  int columns = 0;  // of the terminal; 0 without one
  // An environment variable; empty when it is not set.
  std::function<std::string(const std::string& name)> variable = [](const std::string&) { return std::string(); };
  Interrupt* interrupt = nullptr;
};

}  // namespace greenring::greenctl
