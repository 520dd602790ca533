#include "ioloop/posix/threads.h"

#include <errno.h>
#include <threads.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/check.h"
#include "base/clock.h"
#include "base/sanitizers.h"
#include "green/parking_lot.h"
#include "green/stack_slab.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/parking.h"
#include "ioloop/posix/started_thread.h"

namespace greenring::posix {
namespace {

// TASK_COMM_LEN, which the C library's pthread_setname_np and pthread_getname_np go by.
constexpr size_t kNameBytesMax = 16;

constinit StartKind green_kind;

GREENRING_UNINSTRUMENTED bool IsGreen(pthread_t handle) { return (handle & 1) != 0; }

// Whom a green handle means; nullptr: nobody any more.
GREENRING_UNINSTRUMENTED green::GreenThread* FindGreen(pthread_t handle) {
  if (StartedThread* started = StartedThread::FromHandle(handle); started != nullptr) return started->thread();
  auto* thread = reinterpret_cast<green::GreenThread*>(handle & ~pthread_t{1});
  if (!green::StackSlab::IsMapped(thread)) return nullptr;
  // Another OS thread's state is not ours to read: taken for alive.
  const bool ended =
      green::Scheduler::Current() == thread->scheduler() && thread->state() == green::GreenThread::State::kFree;
  return ended ? nullptr : thread;
}

// Puts the OS thread that a green handle's thread runs on in its place. 0 or ESRCH.
int ToOsThread(pthread_t* handle) {
  if (!IsGreen(*handle)) return 0;
  const green::GreenThread* thread = FindGreen(*handle);
  if (thread == nullptr || thread->scheduler()->runs_on() == 0) return ESRCH;
  *handle = thread->scheduler()->runs_on();
  return 0;
}

// Whether `handle` is a started green thread that has ended and not been joined yet: signals to it get lost.
bool HasEndedUnjoined(pthread_t handle) {
  const StartedThread* started = StartedThread::FromHandle(handle);
  return started != nullptr && started->exists() && started->thread() == nullptr;
}

// ---- OS threads ---------------------------------------------------------------------------------------------------

// Where in the parking lot green threads wait for the end of an OS thread.
const void* AddressOf(pthread_t os_thread) { return reinterpret_cast<const void*>(os_thread); }

struct OsStart {
  StartRoutine function;
  void* argument;
};

// Also when pthread_exit or pthread_cancel unwinds the thread. It ends a little later: who waits tries until it has.
class EndAnnouncement {
 public:
  EndAnnouncement() = default;
  ~EndAnnouncement() { green::ParkingLot::WakeAll(AddressOf(thrd_current())); }
  EndAnnouncement(const EndAnnouncement&) = delete;
  EndAnnouncement& operator=(const EndAnnouncement&) = delete;
};

void* RunOsThread(void* argument) {
  const OsStart start = *static_cast<OsStart*>(argument);
  delete static_cast<OsStart*>(argument);
  EndAnnouncement at_end;
  return start.function(start.argument);
}

int CreateOsThread(pthread_t* thread, const pthread_attr_t* attributes, StartRoutine function, void* argument) {
  auto* start = new (std::nothrow) OsStart{function, argument};
  if (start == nullptr) return EAGAIN;
  const int error = real::pthread_create(thread, attributes, &RunOsThread, start);
  if (error != 0) delete start;
  return error;
}

// On a green thread. Not every OS thread announces its end (the C library's own do not), and none its very last
// instructions: so it is tried again from time to time as well.
int JoinOsThread(pthread_t thread, void** result, int64_t deadline_ns) {
  constexpr int64_t kPauseNsMin = 50 * kNanosecondsPerMicrosecond;
  constexpr int64_t kPauseNsMax = 10 * kNanosecondsPerMillisecond;
  if (thread == thrd_current()) return EDEADLK;  // it ends after us
  green::ParkingLot::Waiter waiter(AddressOf(thread));
  for (int64_t pause_ns = kPauseNsMin;;) {
    const int error = real::pthread_tryjoin_np(thread, result);
    if (error != EBUSY) return error;
    const int64_t now_ns = Clock::Monotonic()->NowNs();
    if (now_ns >= deadline_ns) return ETIMEDOUT;
    const bool woken =
        waiter.WaitUncancellable(std::min(deadline_ns, now_ns + pause_ns)) == green::ParkResult::kUnparked;
    pause_ns = woken ? kPauseNsMin : std::min(pause_ns * 2, kPauseNsMax);
  }
}

// ---- green threads ------------------------------------------------------------------------------------------------

int CreateGreenThread(pthread_t* thread, const pthread_attr_t* attributes, StartRoutine function, void* argument) {
  int detach_state = PTHREAD_CREATE_JOINABLE;
  if (attributes != nullptr) pthread_attr_getdetachstate(attributes, &detach_state);
  StartedThread* started = StartedThread::Start(greenring_intercepting_loop->scheduler(), function, argument,
                                                detach_state == PTHREAD_CREATE_DETACHED);
  if (started == nullptr) return EAGAIN;
  *thread = started->handle();
  return 0;
}

int JoinGreenThread(pthread_t thread, void** result, int64_t deadline_ns) {
  if (StartedThread* started = StartedThread::FromHandle(thread); started != nullptr) {
    return started->Join(result, deadline_ns);
  }
  return thread == parking::pthread_self() ? EDEADLK : EINVAL;
}

int GetStack(const green::GreenThread& thread, pthread_attr_t* attributes) {
  int error = pthread_attr_init(attributes);
  if (error == 0) error = pthread_attr_setstack(attributes, thread.stack().base, thread.stack().size_bytes);
  if (error == 0) error = pthread_attr_setguardsize(attributes, green::StackSlab::page_size_bytes());
  return error;
}

const void* FirstWordOf(const void* argument) {
  return argument != nullptr ? *static_cast<const void* const*>(argument) : nullptr;
}

bool IsGreenKind(StartRoutine function, const void* argument) {
  if (function == nullptr || function != green_kind.start_routine) return false;
  return green_kind.first_word == nullptr || FirstWordOf(argument) == green_kind.first_word;
}

bool Contains(const green::Stack& stack, const void* address) { return address >= stack.base && address < stack.top(); }

}  // namespace

void SetGreenStarts(const StartKind& kind) { green_kind = kind; }

constinit thread_local StartCapture* StartCapture::current_ = nullptr;

StartCapture::StartCapture() {
  GREENRING_CHECK(current_ == nullptr);
  current_ = this;
}

StartCapture::~StartCapture() { current_ = nullptr; }

void StartCapture::Note(StartRoutine start_routine, const void* argument) {
  if (current_ != nullptr) current_->kind_ = {start_routine, FirstWordOf(argument)};
}

namespace parking {

// Sanitizers ask before anything of this program has run.
GREENRING_UNINSTRUMENTED pthread_t pthread_self() {
  const green::GreenThread* thread = green::GreenThread::Current();
  if (thread != nullptr && !thread->is_os_thread()) return thread->handle();
  return thrd_current();  // the C library's pthread_self, under a name that is not ours
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*function)(void*), void* argument) {
  StartCapture::Note(function, argument);
  const bool green = greenring_intercepting_loop != nullptr && IsGreenKind(function, argument);
  return green ? CreateGreenThread(thread, attributes, function, argument)
               : CreateOsThread(thread, attributes, function, argument);
}

int pthread_join(pthread_t thread, void** result) {
  if (IsGreen(thread)) return JoinGreenThread(thread, result, kNeverNs);
  return ParkingLoop() != nullptr ? JoinOsThread(thread, result, kNeverNs) : real::pthread_join(thread, result);
}

int pthread_tryjoin_np(pthread_t thread, void** result) {
  return IsGreen(thread) ? JoinGreenThread(thread, result, 0) : real::pthread_tryjoin_np(thread, result);
}

int pthread_timedjoin_np(pthread_t thread, void** result, const timespec* deadline) {
  if (!IsGreen(thread) && ParkingLoop() == nullptr) return real::pthread_timedjoin_np(thread, result, deadline);
  return parking::pthread_clockjoin_np(thread, result, CLOCK_REALTIME, deadline);
}

int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock, const timespec* deadline) {
  if (!IsGreen(thread) && ParkingLoop() == nullptr) return real::pthread_clockjoin_np(thread, result, clock, deadline);
  if (!IsLockClock(clock) || (deadline != nullptr && !IsInstant(*deadline))) return EINVAL;
  const int64_t deadline_ns = std::max<int64_t>(DeadlineAt(clock, deadline), 1);  // 0 would be a try
  return IsGreen(thread) ? JoinGreenThread(thread, result, deadline_ns) : JoinOsThread(thread, result, deadline_ns);
}

int pthread_detach(pthread_t thread) {
  if (!IsGreen(thread)) return real::pthread_detach(thread);
  StartedThread* started = StartedThread::FromHandle(thread);
  return started != nullptr ? started->Detach() : EINVAL;
}

void pthread_exit(void* result) {
  if (StartedThread* started = StartedThread::Current(); started != nullptr) started->Exit(result);
  if (ParkingLoop() == nullptr) return real::pthread_exit(result);
  std::fputs("greenring: pthread_exit was called on a green thread that nobody started: it waits for good\n", stderr);
  for (;;) green::Scheduler::Current()->ParkUncancellable();
}

GREENRING_UNINSTRUMENTED int pthread_getattr_np(pthread_t thread, pthread_attr_t* attributes) {
  const green::GreenThread* green = IsGreen(thread) ? FindGreen(thread) : nullptr;
  if (green == nullptr && IsGreen(thread)) return ESRCH;
  if (green == nullptr) {
    // Who passes for the OS thread asks about its own stack, which is a green thread's.
    const green::GreenThread* current = green::GreenThread::Current();
    const bool passes = current != nullptr && current->is_os_thread() && thread == thrd_current() &&
                        Contains(current->stack(), __builtin_frame_address(0));
    if (!passes) return real::pthread_getattr_np(thread, attributes);
    green = current;
  }
  return GetStack(*green, attributes);
}

int pthread_kill(pthread_t thread, int signal) {
  if (HasEndedUnjoined(thread)) return 0;
  if (const int error = ToOsThread(&thread); error != 0) return error;
  return real::pthread_kill(thread, signal);
}

int pthread_sigqueue(pthread_t thread, int signal, const union sigval value) {
  if (HasEndedUnjoined(thread)) return 0;
  if (const int error = ToOsThread(&thread); error != 0) return error;
  return real::pthread_sigqueue(thread, signal, value);
}

int pthread_cancel(pthread_t thread) { return IsGreen(thread) ? ENOTSUP : real::pthread_cancel(thread); }

int pthread_setname_np(pthread_t thread, const char* name) {
  if (!IsGreen(thread)) return real::pthread_setname_np(thread, name);
  return std::strlen(name) < kNameBytesMax ? 0 : ERANGE;
}

int pthread_getname_np(pthread_t thread, char* name, size_t size) {
  if (!IsGreen(thread)) return real::pthread_getname_np(thread, name, size);
  if (size < kNameBytesMax) return ERANGE;
  const green::GreenThread* green = FindGreen(thread);
  if (green == nullptr) return ESRCH;
  std::snprintf(name, kNameBytesMax, "%s", green->name());
  return 0;
}

int pthread_getcpuclockid(pthread_t thread, clockid_t* clock) {
  if (const int error = ToOsThread(&thread); error != 0) return error;
  return real::pthread_getcpuclockid(thread, clock);
}

int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t* cpus) {
  if (const int error = ToOsThread(&thread); error != 0) return error;
  return real::pthread_setaffinity_np(thread, size, cpus);
}

int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t* cpus) {
  if (const int error = ToOsThread(&thread); error != 0) return error;
  return real::pthread_getaffinity_np(thread, size, cpus);
}

int pthread_setschedparam(pthread_t thread, int policy, const sched_param* parameters) {
  if (const int error = ToOsThread(&thread); error != 0) return error;
  return real::pthread_setschedparam(thread, policy, parameters);
}

int pthread_getschedparam(pthread_t thread, int* policy, sched_param* parameters) {
  if (const int error = ToOsThread(&thread); error != 0) return error;
  return real::pthread_getschedparam(thread, policy, parameters);
}

int pthread_setschedprio(pthread_t thread, int priority) {
  if (const int error = ToOsThread(&thread); error != 0) return error;
  return real::pthread_setschedprio(thread, priority);
}

}  // namespace parking
}  // namespace greenring::posix
