// The signals that the server keeps for its own use, each for one. SIGTERM, SIGINT and SIGUSR1 are its operator's, and
// the application may take them.
//
// Real-time signals near SIGRTMIN are what debuggers, profilers and applications use: these are at the other end.
#pragma once

#include <signal.h>

namespace greenring {

// Has a thread write its Python stack (pyhost/stack_signal.h).
inline int StackSignal() { return SIGRTMAX - 1; }

// The time for a drain after a stack overflow is over (worker/last_resort.h).
inline int LastResortSignal() { return SIGRTMAX - 2; }

// What CPython finds when it looks at its signals: an exception waits (pyhost/interrupt.h). Never sent.
inline int InterruptSignal() { return SIGRTMAX - 3; }

// Looks at a thread from outside (pyhost/native_sample.h), and changes nothing: no call ends for it. No kernel sends
// it, nor do people.
inline constexpr int kSampleSignal = SIGSTKFLT;

}  // namespace greenring
