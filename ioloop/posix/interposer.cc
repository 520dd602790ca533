#include "ioloop/posix/interposer.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/sanitizers.h"
#include "green/parking_lot.h"
#include "green/scoped_wait.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/parking.h"

constinit thread_local greenring::ioloop::EventLoop* greenring_intercepting_loop = nullptr;

namespace greenring::posix {
namespace {

constinit LeftAlone left_alone;

// The intercepted one, also where interception is suspended: a signal handler may fork.
constinit thread_local ioloop::EventLoop* loop_of_this_thread = nullptr;

// In the child, on the one thread that it has: whatever it calls next is the system's.
void OnForkInChild() {
  if (loop_of_this_thread != nullptr) loop_of_this_thread->ring()->AbandonAfterFork();
  greenring_intercepting_loop = nullptr;
  SetInterruptible(nullptr);
  green::ParkingLot::ForgetAllAfterFork();
  ForgetOsThreadIdAfterFork();
}

// Fortified callers tell how big their buffer is. The C library's answer to more than that is to end the process.
size_t CheckedSize(size_t size, size_t capacity) {
  if (size > capacity) {
    std::fputs("*** buffer overflow detected ***: terminated\n", stderr);
    std::abort();
  }
  return size;
}

// The next definition of a function behind ours: a sanitizer's, if it has one, which calls the C library's.
GREENRING_UNINSTRUMENTED void* FindReal(const char* name, void* sanitizers) {
  if (sanitizers != nullptr) return sanitizers;
  void* found = nullptr;
#if defined(__x86_64__)
  // These exist twice in glibc, and without a version dlsym gives the one from before NPTL.
  if (std::strncmp(name, "pthread_cond_", 13) == 0) found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
#endif
  if (found == nullptr) found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) {
    std::fprintf(stderr, "greenring: the C library has no %s; it is older than the one this was built for\n", name);
    std::abort();
  }
  return found;
}

}  // namespace

// What sanitizers put in front of the C library, where one is linked in.
#if GREENRING_ASAN || GREENRING_TSAN
#define GREENRING_INTERCEPTOR(name) reinterpret_cast<void*>(&__interceptor_##name)
#define PARKS(result, name, parameters, arguments) \
  extern "C" __attribute__((weak)) result __interceptor_##name parameters;
#define TWIN(result, name, parameters, arguments, of)
#define ALWAYS(result, name, parameters, arguments) PARKS(result, name, parameters, arguments)
#include "ioloop/posix/calls.inc"
#undef PARKS
#undef TWIN
#undef ALWAYS
#else
#define GREENRING_INTERCEPTOR(name) nullptr
#endif

// real::name, which until its first call is a function that finds the C library's.
#define PARKS(result, name, parameters, arguments)                                             \
  namespace {                                                                                  \
  template <typename... Arguments>                                                             \
  GREENRING_UNINSTRUMENTED result Find_##name(Arguments... values) {                           \
    using Function = result(*) parameters;                                                     \
    Function found = reinterpret_cast<Function>(FindReal(#name, GREENRING_INTERCEPTOR(name))); \
    real::name.store(found, std::memory_order_relaxed);                                        \
    return found(values...);                                                                   \
  }                                                                                            \
  }                                                                                            \
  namespace real {                                                                             \
  constinit RealFunction<result(*) parameters> name{&Find_##name};                             \
  }
#define TWIN(result, name, parameters, arguments, of)
#define ALWAYS(result, name, parameters, arguments) PARKS(result, name, parameters, arguments)
#include "ioloop/posix/calls.inc"
#undef PARKS
#undef TWIN
#undef ALWAYS

// The exported functions. In C++ they have other names, so as not to collide with the C library's headers.
#define EXPORT(result, name, parameters)                                                               \
  extern "C" __attribute__((visibility("default"))) result greenring_##name parameters __asm__(#name); \
  GREENRING_UNINSTRUMENTED result greenring_##name parameters
#define PARKS(result, name, parameters, arguments) TWIN(result, name, parameters, arguments, name)
#define TWIN(result, name, parameters, arguments, of)                           \
  EXPORT(result, name, parameters) {                                            \
    if (ioloop::EventLoop* const loop = ParkingLoop()) {                        \
      const green::ScopedCallName call_name(loop->scheduler()->current(), #of); \
      return parking::of arguments;                                             \
    }                                                                           \
    return real::of.load(std::memory_order_relaxed) arguments;                  \
  }
#define ALWAYS(result, name, parameters, arguments) \
  EXPORT(result, name, parameters) { return parking::name arguments; }
#include "ioloop/posix/calls.inc"
#undef PARKS
#undef TWIN
#undef ALWAYS

ScopedInterception::ScopedInterception(ioloop::EventLoop* loop) {
  GREENRING_CHECK(greenring_intercepting_loop == nullptr);
  static const int registered = pthread_atfork(nullptr, nullptr, &OnForkInChild);
  GREENRING_CHECK(registered == 0);
  greenring_intercepting_loop = loop_of_this_thread = loop;
  SetInterruptible(loop->scheduler());
}

ScopedInterception::~ScopedInterception() {
  SetInterruptible(nullptr);
  greenring_intercepting_loop = loop_of_this_thread = nullptr;
}

void LeaveAlone(const LeftAlone& what) { left_alone = what; }

bool IsLeftAlone(const void* object) {
  return reinterpret_cast<uintptr_t>(object) - reinterpret_cast<uintptr_t>(left_alone.begin) < left_alone.size_bytes;
}

void BeforeLockOfLeftAlone(const void* mutex) {
  if (left_alone.before_lock != nullptr && ParkingLoop() != nullptr) left_alone.before_lock(mutex);
}

void AfterUnlockOfLeftAlone(const void* mutex) {
  if (left_alone.after_unlock != nullptr && ParkingLoop() != nullptr) left_alone.after_unlock(mutex);
}

void BeforeWaitForLeftAlone(const void* condition) {
  if (left_alone.before_wait != nullptr && ParkingLoop() != nullptr) left_alone.before_wait(condition);
}

}  // namespace greenring::posix
