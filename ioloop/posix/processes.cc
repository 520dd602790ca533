// Waiting for children.
#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <optional>

#include "ioloop/posix/blocking_call.h"
#include "ioloop/posix/errno_scope.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

// Waits for the end of one child; where that cannot be waited for, a while.
class ChildWaiter {
 public:
  // `pid`: the child; 0: any, or not only for its end.
  explicit ChildWaiter(pid_t pid) {
    // The numbers of 5.3, which every architecture that has io_uring shares.
    constexpr long kPidfdOpen = 434;
    if (pid > 0) pidfd_ = static_cast<int>(syscall(kPidfdOpen, pid, 0));
    call_.emplace(pidfd_);
  }
  // Not close(2), which wakes: nobody else knows the descriptor.
  ~ChildWaiter() {
    if (pidfd_ >= 0) real::close(pidfd_);
  }
  ChildWaiter(const ChildWaiter&) = delete;
  ChildWaiter& operator=(const ChildWaiter&) = delete;

  // 0: look again. Parks.
  int32_t Wait() {
    if (pidfd_ < 0) return call_->BackOff();
    const int32_t result = call_->AwaitEvents(POLLIN);
    return result < 0 ? result : 0;
  }

 private:
  int pidfd_ = -1;
  std::optional<BlockingCall> call_;
};

// Until `attempt`, a call with WNOHANG, has an answer: not 0. Parks.
template <typename Attempt>
int64_t Repeat(pid_t pid, const Attempt& attempt) {
  int64_t result = attempt();
  if (result != 0) return result;
  ChildWaiter waiter(pid);
  for (;;) {
    if ((result = attempt()) != 0) return result;
    if ((result = waiter.Wait()) != 0) return result;
  }
}

}  // namespace

pid_t wait4(pid_t pid, int* status, int options, rusage* usage) {
  if ((options & WNOHANG) != 0) return real::wait4(pid, status, options, usage);
  ErrnoScope scope;
  const bool for_its_end = pid > 0 && (options & (WUNTRACED | WCONTINUED)) == 0;
  return static_cast<pid_t>(scope.Return(
      Repeat(for_its_end ? pid : 0, [&] { return ResultOf(real::wait4(pid, status, options | WNOHANG, usage)); })));
}

pid_t waitpid(pid_t pid, int* status, int options) { return parking::wait4(pid, status, options, nullptr); }

pid_t wait(int* status) { return parking::wait4(-1, status, 0, nullptr); }

pid_t wait3(int* status, int options, rusage* usage) { return parking::wait4(-1, status, options, usage); }

int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  if ((options & WNOHANG) != 0) return real::waitid(type, id, info, options);
  ErrnoScope scope;
  siginfo_t found{};
  // 1: a child was found, and its number is in `found`.
  const auto attempt = [&]() -> int64_t {
    found.si_pid = 0;
    const int64_t result = ResultOf(real::waitid(type, id, &found, options | WNOHANG));
    return result == 0 && found.si_pid != 0 ? 1 : result;
  };
  const bool for_its_end = (options & (WSTOPPED | WCONTINUED)) == 0;
  int64_t result;
  if (type == P_PIDFD && for_its_end) {
    BlockingCall call(static_cast<int>(id));
    // -EAGAIN: the pidfd is non-blocking.
    while ((result = attempt()) == 0) {
      if (const int32_t ended = call.AwaitEvents(POLLIN); ended < 0) return static_cast<int>(scope.Return(ended));
    }
  } else {
    result = Repeat(type == P_PID && for_its_end ? static_cast<pid_t>(id) : 0, attempt);
  }
  if (result == 1) {
    if (info != nullptr) *info = found;
    result = 0;
  }
  return static_cast<int>(scope.Return(result));
}

}  // namespace greenring::posix::parking
