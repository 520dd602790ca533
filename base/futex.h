// futex(2) by the system call: for OS threads that must sleep whatever runs on them. The C library's waits, and the
// standard library's that are built on them, park where the caller is a green thread.
//
//   while (ended.load(std::memory_order_acquire) == 0) FutexWait(ended, 0);
//
//   ended.store(1, std::memory_order_release);
//   FutexWake(&ended);
//
// Within one process. Thread-safe; FutexWake is async-signal-safe, and may change errno.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

#include "base/clock.h"

namespace greenring {

// Blocks the OS thread while `word` is `value`, until a wake or for `timeout_ns`. May return for nothing: look again.
template <typename T>
void FutexWait(const std::atomic<T>& word, T value, int64_t timeout_ns = kNeverNs) {
  static_assert(sizeof(std::atomic<T>) == sizeof(uint32_t));
  const timespec timeout = {.tv_sec = timeout_ns / kNanosecondsPerSecond,
                            .tv_nsec = timeout_ns % kNanosecondsPerSecond};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, timeout_ns == kNeverNs ? nullptr : &timeout, nullptr, 0);
}

// Wakes everybody who waits there. Only the address is used: who owned the word may be gone.
template <typename T>
void FutexWake(const std::atomic<T>* word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace greenring
