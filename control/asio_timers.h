// Timers on the reactor.
#pragma once

#include <memory>

#include "control/timers.h"

namespace greenring::control {

class Reactor;

// The reactor outlives it.
std::unique_ptr<Timers> MakeAsioTimers(Reactor* reactor);

}  // namespace greenring::control
