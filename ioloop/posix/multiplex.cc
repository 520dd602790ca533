#include <errno.h>
#include <string.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/clock.h"
#include "ioloop/posix/parking.h"
#include "ioloop/posix/poll_group.h"

namespace greenring::posix::parking {
namespace {

constexpr timespec kAtOnce = {0, 0};

bool IsZero(const timespec& duration) { return duration.tv_sec == 0 && duration.tv_nsec == 0; }

// Whether a call with this timeout cannot wait: it may be the system's.
bool ReturnsAtOnce(const timespec* timeout) {
  return timeout != nullptr && (!IsValidDuration(*timeout) || IsZero(*timeout));
}

}  // namespace

// ---- poll ----------------------------------------------------------------------------------------------------------

int poll(pollfd* fds, nfds_t count, int timeout_ms) {
  const int ready = real::poll(fds, count, 0);
  if (ready != 0 || timeout_ms == 0) return ready;
  return AskUntil(fds, count, DeadlineAfterMs(timeout_ms), [&] { return real::poll(fds, count, 0); });
}

int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (ReturnsAtOnce(timeout)) return real::ppoll(fds, count, timeout, mask);
  const auto ask = [&] { return real::ppoll(fds, count, &kAtOnce, mask); };
  const int ready = ask();
  if (ready != 0) return ready;
  return AskUntil(fds, count, DeadlineAfter(timeout), ask);
}

// ---- select --------------------------------------------------------------------------------------------------------

namespace {

using Word = unsigned long;
constexpr size_t kWordBits = sizeof(Word) * CHAR_BIT;

// What each of select's sets asks of poll.
constexpr short kEventsOfSet[] = {POLLIN, POLLOUT, POLLPRI};
constexpr size_t kSets = 3;

// select's sets as the caller has asked, beside the ones that the asking overwrites: the caller's own are to change
// only when the call returns.
class DescriptorSets {
 public:
  DescriptorSets(size_t count, fd_set* readable, fd_set* writable, fd_set* exceptional)
      : count_(count), words_((count + kWordBits - 1) / kWordBits), callers_{readable, writable, exceptional} {
    if (words_ <= kFewWords) return;
    many_.reset(static_cast<Word*>(std::malloc(kSets * words_ * sizeof(Word))));
    answers_ = many_.get();
  }

  bool has_memory() const { return answers_ != nullptr; }

  // The system's call, without waiting.
  int Ask(const sigset_t* mask) {
    fd_set* sets[kSets] = {};
    for (size_t i = 0; i < kSets; ++i) {
      if (callers_[i] == nullptr) continue;
      sets[i] = reinterpret_cast<fd_set*>(answer(i));
      memcpy(answer(i), callers_[i], bytes());
    }
    return real::pselect(static_cast<int>(count_), sets[0], sets[1], sets[2], &kAtOnce, mask);
  }

  // Gives the caller what the last Ask found.
  void Answer() {
    for (size_t i = 0; i < kSets; ++i) {
      if (callers_[i] != nullptr) memcpy(callers_[i], answer(i), bytes());
    }
  }

  // Writes what is asked, `polls` as long as the result says; nullptr: only counts.
  size_t ToPolls(pollfd* polls) const {
    size_t size = 0;
    for (size_t fd = 0; fd < count_; ++fd) {
      short events = 0;
      for (size_t i = 0; i < kSets; ++i) {
        if (IsAsked(i, fd)) events = static_cast<short>(events | kEventsOfSet[i]);
      }
      if (events == 0) continue;
      if (polls != nullptr) polls[size] = {static_cast<int>(fd), events, 0};
      ++size;
    }
    return size;
  }

 private:
  struct Free {
    void operator()(Word* memory) const { std::free(memory); }
  };

  static constexpr size_t kFewWords = FD_SETSIZE / kWordBits;

  size_t bytes() const { return words_ * sizeof(Word); }
  Word* answer(size_t set) { return answers_ + set * words_; }
  bool IsAsked(size_t set, size_t fd) const {
    if (callers_[set] == nullptr) return false;
    return (reinterpret_cast<const Word*>(callers_[set])[fd / kWordBits] >> (fd % kWordBits)) & 1;
  }

  const size_t count_;
  const size_t words_;
  fd_set* const callers_[kSets];
  Word few_[kSets * kFewWords];
  std::unique_ptr<Word, Free> many_;
  Word* answers_ = few_;
};

constexpr size_t kFewPolls = 16;

struct FreePolls {
  void operator()(pollfd* memory) const { std::free(memory); }
};

int ParkInSelect(DescriptorSets* sets, int64_t deadline_ns, const sigset_t* mask) {
  pollfd few[kFewPolls];
  pollfd* polls = few;
  std::unique_ptr<pollfd, FreePolls> many;
  const size_t count = sets->ToPolls(nullptr);
  if (count > kFewPolls) {
    many.reset(static_cast<pollfd*>(std::malloc(count * sizeof(pollfd))));
    polls = many.get();
    if (polls == nullptr) return static_cast<int>(ReturnOrFail(-ENOMEM));
  }
  sets->ToPolls(polls);
  return AskUntil(polls, count, deadline_ns, [&] { return sets->Ask(mask); });
}

int SelectUntil(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, int64_t deadline_ns,
                const sigset_t* mask) {
  if (count < 0) return static_cast<int>(ReturnOrFail(-EINVAL));
  DescriptorSets sets(static_cast<size_t>(count), readable, writable, exceptional);
  if (!sets.has_memory()) return static_cast<int>(ReturnOrFail(-ENOMEM));
  int ready = sets.Ask(mask);
  if (ready == 0) ready = ParkInSelect(&sets, deadline_ns, mask);
  if (ready >= 0) sets.Answer();
  return ready;
}

}  // namespace

int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) {
  if (timeout == nullptr) return SelectUntil(count, readable, writable, exceptional, kNeverNs, nullptr);
  constexpr int64_t kMicrosecondsPerSecond = kNanosecondsPerSecond / kNanosecondsPerMicrosecond;
  const bool cannot_wait =
      timeout->tv_sec < 0 || timeout->tv_usec < 0 || (timeout->tv_sec == 0 && timeout->tv_usec == 0);
  if (cannot_wait) return real::select(count, readable, writable, exceptional, timeout);
  // A second and more of microseconds is allowed here.
  timespec duration = {0, timeout->tv_usec % kMicrosecondsPerSecond * kNanosecondsPerMicrosecond};
  if (__builtin_add_overflow(timeout->tv_sec, timeout->tv_usec / kMicrosecondsPerSecond, &duration.tv_sec)) {
    duration.tv_sec = kNeverNs;
  }
  const int64_t deadline_ns = DeadlineAfter(&duration);
  const int ready = SelectUntil(count, readable, writable, exceptional, deadline_ns, nullptr);
  // As Linux does, the timeout is what is left of it.
  const int64_t left_ns = std::max<int64_t>(0, deadline_ns - Clock::Monotonic()->NowNs());
  *timeout = {left_ns / kNanosecondsPerSecond, left_ns % kNanosecondsPerSecond / kNanosecondsPerMicrosecond};
  return ready;
}

int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const timespec* timeout,
            const sigset_t* mask) {
  if (ReturnsAtOnce(timeout)) return real::pselect(count, readable, writable, exceptional, timeout, mask);
  return SelectUntil(count, readable, writable, exceptional, DeadlineAfter(timeout), mask);
}

// ---- epoll ---------------------------------------------------------------------------------------------------------

namespace {

int EpollUntil(int fd, epoll_event* events, int count_max, int64_t deadline_ns, const sigset_t* mask) {
  const pollfd asked = {fd, POLLIN, 0};
  // Who calls epoll_wait is an event loop, and some (libev) end the process at any error but EINTR.
  return AskUntil(
      &asked, 1, deadline_ns, [&] { return real::epoll_pwait(fd, events, count_max, 0, mask); },
      /*survives_cancel=*/true);
}

}  // namespace

int epoll_wait(int fd, epoll_event* events, int count_max, int timeout_ms) {
  return parking::epoll_pwait(fd, events, count_max, timeout_ms, nullptr);
}

int epoll_pwait(int fd, epoll_event* events, int count_max, int timeout_ms, const sigset_t* mask) {
  const int ready = real::epoll_pwait(fd, events, count_max, 0, mask);
  if (ready != 0 || timeout_ms == 0) return ready;
  return EpollUntil(fd, events, count_max, DeadlineAfterMs(timeout_ms), mask);
}

int epoll_pwait2(int fd, epoll_event* events, int count_max, const timespec* timeout, const sigset_t* mask) {
  if (ReturnsAtOnce(timeout)) return real::epoll_pwait2(fd, events, count_max, timeout, mask);
  const int ready = real::epoll_pwait(fd, events, count_max, 0, mask);
  if (ready != 0) return ready;
  return EpollUntil(fd, events, count_max, DeadlineAfter(timeout), mask);
}

}  // namespace greenring::posix::parking
