#include "ioloop/posix/blocking_call.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>

#include "base/check.h"
#include "base/unique_fd.h"
#include "ioloop/posix/interposer.h"

namespace greenring::posix {

constinit std::atomic<uint32_t> handlers_run{0};

namespace {

// Those of them that were installed without SA_RESTART.
constinit std::atomic<uint32_t> interrupting_handlers_run{0};
constinit std::atomic<green::Scheduler*> interruptible{nullptr};

constinit CancelAnswer cancel_answer = {
    [](bool may_fail) { return may_fail ? ECANCELED : 0; },
    [] { return false; },
};

int64_t ToNs(const timespec& time) {
  if (time.tv_sec >= kNeverNs / kNanosecondsPerSecond - 1) return kNeverNs;
  return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
}

int64_t AfterNs(int64_t duration_ns) { return InstantAfter(Clock::Monotonic()->NowNs(), duration_ns); }

// Adds asked[index] to an epoll descriptor that the ones before it have been added to: a descriptor is there once, with
// everything that is asked of it.
bool AddTo(int epoll_fd, const pollfd* asked, size_t index) {
  const int fd = asked[index].fd;
  epoll_event event{};
  event.events = static_cast<uint16_t>(asked[index].events);
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return true;
  if (errno != EEXIST) return false;
  for (size_t i = 0; i < index; ++i) {
    if (asked[i].fd == fd) event.events |= static_cast<uint16_t>(asked[i].events);
  }
  return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0;
}

}  // namespace

BlockingCall::BlockingCall(int fd, int64_t deadline_ns, Restart restart)
    : loop_(ParkingLoop()),
      thread_(green::GreenThread::Current()),
      fd_(fd),
      noted_(thread_, {.fd = fd}),
      deadline_ns_(deadline_ns),
      interruptions_(restart == Restart::kNever ? &handlers_run : &interrupting_handlers_run),
      interruptions_seen_(interruptions_->load(std::memory_order_acquire)) {
  GREENRING_CHECK(loop_ != nullptr);
  if (fd >= 0) closed_.emplace(ParkingAddressOf(fd));
}

int32_t BlockingCall::Ended() {
  if (closed_.has_value() && closed_->woken()) return -EBADF;
  if (interrupted_) return -EINTR;
  if (thread_->is_os_thread() && interruptions_->load(std::memory_order_acquire) != interruptions_seen_) return -EINTR;
  return 0;
}

int32_t BlockingCall::AwaitEvents(uint32_t events) {
  ioloop::Operation operation(loop_);
  ring()->PollAdd(fd_, events, &operation);
  const int32_t ready = Await(&operation);
  if (ready < 0 || (static_cast<uint32_t>(ready) & (events | POLLERR | POLLHUP | POLLNVAL))) return ready;
  // io_uring also reports POLLRDHUP, always. While the peer has shut down its side and reads on, the next poll would
  // end as soon as this one.
  const pollfd asked = {fd_, static_cast<short>(events), 0};
  return AwaitExactly(&asked, 1);
}

int32_t BlockingCall::AwaitExactly(const pollfd* asked, size_t count, ioloop::WaitGuard* guard) {
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  for (size_t i = 0; i < count; ++i) {
    if (asked[i].fd < 0 || AddTo(epoll.get(), asked, i)) continue;
    // No descriptor or memory left, or this one is gone, or of the kind that is always ready.
    return BackOff(kNanosecondsPerMillisecond / 10, 16 * kNanosecondsPerMillisecond);
  }
  ioloop::Operation operation(loop_);
  ring()->PollAdd(epoll.get(), POLLIN, &operation);
  if (guard == nullptr) guard = this;
  const int32_t result = operation.Wait(deadline_ns_, guard);
  if (result == -ECANCELED) return OnCancelled();
  if (result < 0) return result;
  epoll_event event{};
  return real::epoll_pwait(epoll.get(), &event, 1, 0, nullptr) == 1 ? static_cast<int32_t>(event.events) : 0;
}

int32_t BlockingCall::Await(ioloop::Operation* operation) {
  const int32_t result = operation->Wait(deadline_ns_, this);
  return result == -ECANCELED ? OnCancelled() : result;
}

green::ParkResult BlockingCall::Park() {
  green::Scheduler* const scheduler = loop_->scheduler();
  if (!waits_on_) {
    const green::ParkResult result = scheduler->Park(deadline_ns_);
    if (result != green::ParkResult::kCancelled || !survives_cancel_) return result;
    interrupted_ = AnswerCancel(/*may_fail=*/false) == EINTR;
    if (interrupted_) return result;
    waits_on_ = true;
  }
  return scheduler->ParkUncancellable(deadline_ns_);
}

int32_t BlockingCall::OnCancelled() {
  if (!interrupted_) interrupted_ = AnswerCancel(/*may_fail=*/true) == EINTR;
  return interrupted_ ? -EINTR : -ECANCELED;
}

int32_t BlockingCall::Sleep() {
  for (;;) {
    if (const int32_t ended = Ended(); ended != 0) return ended;
    switch (Park()) {
      case green::ParkResult::kUnparked:
        break;
      case green::ParkResult::kTimedOut:
        return 0;
      case green::ParkResult::kCancelled:
        return OnCancelled();
    }
  }
}

int32_t BlockingCall::BackOff(int64_t first_ns, int64_t longest_ns) {
  back_off_ns_ = back_off_ns_ == 0 ? first_ns : std::min(back_off_ns_ * 2, longest_ns);
  const int64_t deadline_ns = deadline_ns_;
  const int64_t again_ns = AfterNs(back_off_ns_);
  if (again_ns < deadline_ns) deadline_ns_ = again_ns;
  const int32_t result = Sleep();
  deadline_ns_ = deadline_ns;
  if (result != 0) return result;
  return again_ns < deadline_ns ? 0 : -ETIMEDOUT;
}

void SetCancelAnswer(const CancelAnswer& answer) { cancel_answer = answer; }

int AnswerCancel(bool may_fail) { return cancel_answer.on_cancelled(may_fail); }

bool IsUnheeded() { return green::GreenThread::Current()->cancel_pending() && cancel_answer.is_unheeded(); }

int64_t ReturnOrFail(int64_t result) {
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

bool IsValidDuration(const timespec& duration) {
  return duration.tv_sec >= 0 && duration.tv_nsec >= 0 && duration.tv_nsec < kNanosecondsPerSecond;
}

int64_t DeadlineAfterMs(int timeout_ms) {
  return timeout_ms < 0 ? kNeverNs : AfterNs(timeout_ms * kNanosecondsPerMillisecond);
}

int64_t DeadlineAfter(const timespec* duration) { return duration == nullptr ? kNeverNs : AfterNs(ToNs(*duration)); }

int64_t DeadlineAt(clockid_t clock, const timespec* instant) {
  if (instant == nullptr) return kNeverNs;
  if (instant->tv_sec < 0) return 0;
  if (clock == CLOCK_MONOTONIC) return ToNs(*instant);
  timespec now;
  if (clock_gettime(clock, &now) != 0) return 0;
  const int64_t instant_ns = ToNs(*instant);
  return instant_ns == kNeverNs ? kNeverNs : std::max<int64_t>(AfterNs(instant_ns - ToNs(now)), 0);
}

bool IsNonBlocking(int fd) { return (real::fcntl(fd, F_GETFL, nullptr) & O_NONBLOCK) != 0; }

// No object is at such an address.
const void* ParkingAddressOf(int fd) { return reinterpret_cast<const void*>(static_cast<uintptr_t>(fd) + 1); }

void WakeParkedOn(int fd) {
  if (fd < 0 || green::ParkingLot::WakeAll(ParkingAddressOf(fd)) == 0) return;
  if (ioloop::EventLoop* const loop = ParkingLoop(); loop != nullptr) {
    loop->ring()->SubmitAndWait(0, 0);
  }
}

void InterruptMainThread(Restart restart) {
  handlers_run.fetch_add(1, std::memory_order_seq_cst);
  if (restart == Restart::kNever) interrupting_handlers_run.fetch_add(1, std::memory_order_release);
  green::Scheduler* scheduler = interruptible.load(std::memory_order_acquire);
  green::GreenThread* thread = scheduler != nullptr ? scheduler->os_thread() : nullptr;
  if (thread != nullptr) scheduler->UnparkRemote(thread);
}

void SetInterruptible(green::Scheduler* scheduler) { interruptible.store(scheduler, std::memory_order_release); }

}  // namespace greenring::posix
