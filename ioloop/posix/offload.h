// Work that blocks where nothing can be answered for it: on a helper OS thread, while the green thread parks.
//
//   int result;
//   Offload([&] { result = real::getaddrinfo(node, service, hints, results); });
//
// The function may use what is on the caller's stack: Offload returns when it has ended, and a Cancel does not change
// that. errno and h_errno are the function's afterwards. It must neither park nor throw, and ends in its own time: a
// helper thread that is stuck is one less for the others.
//
// Helper threads are made when all are busy, kHelpersMax at most (further work waits its turn), and end when nothing
// has come for a while. All signals are blocked on them. They are never joined, so that a process may end while one
// works. The child of a fork has none and makes its own.
#pragma once

#include <memory>
#include <type_traits>

namespace greenring::posix {

constexpr int kHelpersMax = 128;

// Runs `function(argument)`. Parks.
void OffloadCall(void (*function)(void* argument), void* argument);

template <typename Function>
void Offload(Function&& function) {
  OffloadCall([](void* argument) { (*static_cast<std::remove_reference_t<Function>*>(argument))(); },
              std::addressof(function));
}

// How many helper threads there are. Thread-safe. Never parks.
int HelperCount();

}  // namespace greenring::posix
