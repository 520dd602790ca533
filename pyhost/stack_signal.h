// The Python stack of a thread that hangs in C code, GIL held or not: written by a signal handler of Python's
// faulthandler.
//
//   if (RegisterStackSignal(StackSignal(), fd)) ...
//   pthread_kill(thread, StackSignal());               // "Stack (most recent call first): ..." to the descriptor
#pragma once

namespace greenring::pyhost {

// From here on `signal_number` has the Python stack of the thread that it is sent to written to `fd`. False: this
// Python has no faulthandler. GIL held. Never parks.
bool RegisterStackSignal(int signal_number, int fd);

}  // namespace greenring::pyhost
