// Has the Python code of a green thread end its recursion, by an ordinary RecursionError: when its stack has overflowed
// into the reserve (green/stack_overflow.h).
//
//   bool ends = ExhaustRecursion(thread);        // in the signal handler
//   ...                                          // the next call raises; frames unwind; the application may catch it
//   RestoreRecursion(thread);                    // when the green thread is back on its stack
//
// CPython counts how much deeper a thread may still call, in a public field of its state. That count is taken away, and
// kept in the green thread's reserve_note(). Each frame that is left gives its one back, as ever. So until the count is
// restored the code may go about as deep, in calls, as it was when the stack was used up.
#pragma once

#include <string>

#include "green/green_thread.h"

namespace greenring::pyhost {

// `thread` is running. False where CPython would not look at the count (the green thread has no Python state, or has
// given the GIL up) or would end the process for it (it is handling such an error already). Async-signal-safe.
bool ExhaustRecursion(green::GreenThread* thread);

// The same `thread`, running, with or without the GIL. Without it, a sys.setrecursionlimit of another OS thread at this
// very moment may pass it by. No effect if it has another state now, or none. Never parks.
void RestoreRecursion(green::GreenThread* thread);

// What Python code an abandoned green thread was in the middle of, the innermost call first; empty if in none, and
// where CPython does not let us ask. Nothing of CPython's is allocated or locked, the GIL is not needed: it reads what
// nobody changes any more. `thread_state`: the PyThreadState that it had (reserve_note()->state). In the loop's
// context.
std::string DescribeAbandonedStack(void* thread_state);

}  // namespace greenring::pyhost
