// The server executable answers the C library's blocking calls itself: this is where they arrive.
//
//   posix::ScopedInterception interception(&loop);     // on the loop's OS thread
//   scheduler.Run(&loop);                              // green threads' blocking calls park from here on
//
// Linking this target defines the functions of calls.inc in the program. The dynamic linker resolves the program's
// symbols first, so every shared library calls these too. Of a green thread whose calls are intercepted they park
// (parking.h); of anybody else, and in the child after fork or vfork, they are the C library's own (real::).
//
// Not seen: raw system calls, what the C library calls inside itself, libraries opened with RTLD_DEEPBIND.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <atomic>
#include <cstddef>

#include "base/sanitizers.h"
#include "green/green_thread.h"
#include "green/scheduler.h"
#include "ioloop/event_loop.h"

// A name that vfork.S knows.
extern "C" constinit thread_local greenring::ioloop::EventLoop* greenring_intercepting_loop;

namespace greenring::posix {

// Calls made by green threads of `loop`'s scheduler, on this OS thread, park, for the object's life.
class ScopedInterception {
 public:
  explicit ScopedInterception(ioloop::EventLoop* loop);
  ~ScopedInterception();
  ScopedInterception(const ScopedInterception&) = delete;
  ScopedInterception& operator=(const ScopedInterception&) = delete;
};

// The loop that the caller parks on: it is a green thread whose calls are intercepted. Else nullptr.
inline ioloop::EventLoop* ParkingLoop() {
  ioloop::EventLoop* loop = greenring_intercepting_loop;
  return loop != nullptr && loop->scheduler()->current() != nullptr ? loop : nullptr;
}

// Mutexes and condition variables that are left to the C library on green threads too: those of a runtime that guards
// its own OS thread with them and never parks while it holds one (CPython's GIL).
struct LeftAlone {
  const void* begin = nullptr;
  size_t size_bytes = 0;

  // If not nullptr, called on a green thread whose calls are intercepted: before it locks such a mutex, where the
  // runtime may park instead, and after it has unlocked one.
  void (*before_lock)(const void* mutex) = nullptr;
  void (*after_unlock)(const void* mutex) = nullptr;

  // The same: before it waits for such a condition variable, which blocks the OS thread.
  void (*before_wait)(const void* condition) = nullptr;
};

// Before any interception; the last one counts.
void LeaveAlone(const LeftAlone& left_alone);
bool IsLeftAlone(const void* object);

// The runtime is told.
void BeforeLockOfLeftAlone(const void* mutex);
void AfterUnlockOfLeftAlone(const void* mutex);
void BeforeWaitForLeftAlone(const void* condition);

// A function of the C library, found at its first call. Called like one, by any thread.
template <typename Pointer>
class RealFunction;
template <typename Result, typename... Parameters>
class RealFunction<Result (*)(Parameters...)> : public std::atomic<Result (*)(Parameters...)> {
 public:
  using std::atomic<Result (*)(Parameters...)>::atomic;
  GREENRING_UNINSTRUMENTED Result operator()(Parameters... arguments) const {
    return this->load(std::memory_order_relaxed)(arguments...);
  }
};

// The C library's functions.
namespace real {
#define PARKS(result, name, parameters, arguments) extern constinit RealFunction<result(*) parameters> name;
#define TWIN(result, name, parameters, arguments, of) PARKS(result, name, parameters, arguments)
#define ALWAYS(result, name, parameters, arguments) PARKS(result, name, parameters, arguments)
#include "ioloop/posix/calls.inc"
#undef PARKS
#undef TWIN
#undef ALWAYS
}  // namespace real

}  // namespace greenring::posix
