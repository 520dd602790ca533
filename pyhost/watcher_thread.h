// An OS thread that watches the loop's: it can be made and ended by a green thread, without a park, and knows what to
// do about a fork. Signals are not its business.
//
//   WatcherThread thread("greenring-watch", [this] {
//     while (!thread.stopping()) { ...; thread.SleepFor(kNanosecondsPerMillisecond); }
//   });
//   thread.Stop();
//   thread.Join();
//
// A join by the C library's means would park, and then who computes could go on for ever.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

namespace greenring::pyhost {

class WatcherThread {
 public:
  // `name` has at most 15 characters.
  WatcherThread(const char* name, std::function<void()> run);

  // Joined (checked).
  ~WatcherThread();

  WatcherThread(const WatcherThread&) = delete;
  WatcherThread& operator=(const WatcherThread&) = delete;

  // `run` is to return soon; its sleep ends. Thread-safe. Never parks.
  void Stop();

  // Blocks the OS thread until `run` has returned; gives the GIL up meanwhile if the caller holds it. In the child of a
  // fork, where the thread is not, it returns at once. After Stop. Never parks.
  void Join();

  // For `run`: whether to return; sleeps, or until Stop.
  bool stopping() const { return stop_.load(std::memory_order_relaxed) != 0; }
  void SleepFor(int64_t duration_ns);

 private:
  const pid_t process_;
  const std::function<void()> run_;
  std::atomic<int> stop_{0};   // what futex(2) waits for
  std::atomic<int> ended_{0};  // as well
  std::thread thread_;
};

}  // namespace greenring::pyhost
