// A lock for a few instructions, for green threads and OS threads alike: whoever holds it neither parks nor blocks, so
// whoever waits for it may spin. Not pthread's: those names may be ours, and built on what uses this. Not for signal
// handlers.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace greenring::posix {

class OsLock {
 public:
  constexpr OsLock() = default;
  OsLock(const OsLock&) = delete;
  OsLock& operator=(const OsLock&) = delete;

  void lock() {
    constexpr int kSpinsMax = 100;
    for (int spins = 0; locked_.exchange(true, std::memory_order_acquire); ++spins) {
      if (spins >= kSpinsMax) syscall(SYS_sched_yield);
    }
  }
  void unlock() { locked_.store(false, std::memory_order_release); }

  // In the child after fork, where whoever held it is not.
  void ForgetAfterFork() { unlock(); }

 private:
  std::atomic<bool> locked_{false};
};

}  // namespace greenring::posix
