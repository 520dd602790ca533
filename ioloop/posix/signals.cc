// Handlers run through one of ours, OnSignal, which tells green threads of them. It is what the kernel knows; what the
// program installed stands in `actions`. A handler runs on whatever the signal interrupted, perhaps a green thread's
// stack: in it nothing parks, calls are the system's. It has to return: a longjmp out of it would leave that state.
//
// Signals that mean a fault of the code that runs are none of our business: their handlers expect to be called by the
// kernel and may well not return. Neither is the one that looks at a thread from outside: that is to change nothing.
#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <utility>

#include "base/reserved_signals.h"
#include "base/sanitizers.h"
#include "base/unique_fd.h"
#include "green/parking_lot.h"
#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix {
namespace {

using Handler = void (*)(int signal, siginfo_t* info, void* context);

// What the program installed where the kernel has OnSignal. Handlers that take one argument are called with three, as
// the kernel does it.
struct Action {
  std::atomic<Handler> handler{nullptr};
  std::atomic<int> flags{0};
};

constinit Action actions[NSIG];

void OnSignal(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  ioloop::EventLoop* const loop = std::exchange(greenring_intercepting_loop, nullptr);
  const pid_t process = loop != nullptr ? getpid() : 0;
  {
    green::ParkingLot::SignalScope scope;
    // Looked at before: the handler may install another.
    const Restart restart = (actions[signal].flags.load(std::memory_order_relaxed) & SA_RESTART) != 0
                                ? Restart::kAsHandlerSays
                                : Restart::kNever;
    actions[signal].handler.load(std::memory_order_acquire)(signal, info, context);
    InterruptMainThread(restart);
    green::ParkingLot::WakeAll(&handlers_run);  // who pauses waits at its address
  }
  if (loop != nullptr && getpid() == process) greenring_intercepting_loop = loop;  // not in a child of the handler's
  errno = error;
}

GREENRING_UNINSTRUMENTED bool IsOurs(int signal) {
  switch (signal) {
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGSYS:
    case kSampleSignal:
    case SIGKILL:
    case SIGSTOP:
      return false;
    default:
      return signal > 0 && signal < NSIG;
  }
}

bool IsFunction(sighandler_t handler) { return handler != SIG_DFL && handler != SIG_IGN && handler != SIG_ERR; }

// The program's view of an action that the kernel has.
void Translate(Handler handler, int flags, struct sigaction* action) {
  if ((action->sa_flags & SA_SIGINFO) == 0 || action->sa_sigaction != &OnSignal) return;
  action->sa_sigaction = handler;  // shares its place with sa_handler
  if ((flags & SA_SIGINFO) == 0) action->sa_flags &= ~SA_SIGINFO;
}

// sigaction(2), of a signal that is ours.
int Exchange(int signal, const struct sigaction* action, struct sigaction* before) {
  Action& entry = actions[signal];
  const Handler handler_before = entry.handler.load(std::memory_order_acquire);
  const int flags_before = entry.flags.load(std::memory_order_relaxed);
  // The entry of what the kernel does not call is left as it is: this may be the child of vfork, whose memory is its
  // parent's, on its way to exec.
  const bool calls_function = action != nullptr && IsFunction(action->sa_handler);
  struct sigaction ours;
  if (calls_function) {
    ours = *action;
    ours.sa_sigaction = &OnSignal;
    ours.sa_flags |= SA_SIGINFO;
    // First the entry: from then on until the kernel knows, a signal calls the new handler a little early.
    entry.flags.store(action->sa_flags, std::memory_order_relaxed);
    entry.handler.store(action->sa_sigaction, std::memory_order_release);
  }
  if (real::sigaction(signal, calls_function ? &ours : action, before) != 0) {
    entry.flags.store(flags_before, std::memory_order_relaxed);
    entry.handler.store(handler_before, std::memory_order_release);
    return -1;
  }
  if (before != nullptr) Translate(handler_before, flags_before, before);
  return 0;
}

// From the system's sigtimedwait, without waiting: the signal, or -1 with EAGAIN.
int TakePending(const sigset_t* set, siginfo_t* info) {
  constexpr timespec kAtOnce = {0, 0};
  return real::sigtimedwait(set, info, &kAtOnce);
}

// The signal, or a negative errno.
int AwaitSignal(const sigset_t* set, siginfo_t* info, int64_t deadline_ns) {
  const int taken = TakePending(set, info);
  if (taken >= 0 || errno != EAGAIN) return taken >= 0 ? taken : -errno;
  UniqueFd fd(signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return -errno;
  BlockingCall call(fd.get(), deadline_ns, Restart::kNever);
  for (;;) {
    const int signal = TakePending(set, info);
    if (signal >= 0 || errno != EAGAIN) return signal >= 0 ? signal : -errno;
    if (const int32_t result = call.AwaitEvents(POLLIN); result < 0) return result == -ETIMEDOUT ? -EAGAIN : result;
  }
}

}  // namespace

namespace parking {

// Sanitizers install theirs before anything of this program has run.
GREENRING_UNINSTRUMENTED int sigaction(int signal, const struct sigaction* action, struct sigaction* before) {
  if (!IsOurs(signal)) return real::sigaction.load(std::memory_order_relaxed)(signal, action, before);
  return Exchange(signal, action, before);
}

sighandler_t signal(int signal, sighandler_t handler) {
  if (handler == SIG_ERR) {
    errno = EINVAL;
    return SIG_ERR;
  }
  struct sigaction action = {};
  struct sigaction before;
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  if (signal > 0 && signal < NSIG) sigaddset(&action.sa_mask, signal);
  return parking::sigaction(signal, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

int pause() {
  const uint32_t seen = handlers_run.load(std::memory_order_acquire);
  green::ParkingLot::Waiter waiter(&handlers_run);
  while (handlers_run.load(std::memory_order_acquire) == seen) {
    if (waiter.Wait() == green::ParkResult::kCancelled) {
      errno = AnswerCancel(/*may_fail=*/true);
      return -1;
    }
  }
  errno = EINTR;
  return -1;
}

int sigwait(const sigset_t* set, int* signal) {
  int taken;
  do {
    taken = AwaitSignal(set, nullptr, kNeverNs);
  } while (taken == -EINTR);  // as the C library's
  if (taken < 0) return -taken;
  *signal = taken;
  return 0;
}

int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  return static_cast<int>(ReturnOrFail(AwaitSignal(set, info, kNeverNs)));
}

int sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec* timeout) {
  if (timeout != nullptr &&
      (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= kNanosecondsPerSecond)) {
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(ReturnOrFail(AwaitSignal(set, info, DeadlineAfter(timeout))));
}

}  // namespace parking
}  // namespace greenring::posix
