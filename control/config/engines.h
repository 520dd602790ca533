// Which engines this version has. The API and the configuration know names for more (pool.proto): seats for later.
//
// Thread-safe; never blocks.
#pragma once

#include <string>
#include <vector>

#include "greenring/control/v1/pool.pb.h"

namespace greenring::control {

// Neither what is reserved, nor ENGINE_UNSPECIFIED, which stands for the default, nor numbers that nobody has named.
bool IsAvailable(v1::Engine engine);

// All of them, in the order of their numbers.
std::vector<v1::Engine> AvailableEngines();

// "UCONTEXT, FCONTEXT and THREAD".
std::string AvailableEnginesText();

}  // namespace greenring::control
