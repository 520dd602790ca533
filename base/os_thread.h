// An OS thread of this process, as the kernel sees it: for those who list what others do.
//
//   OsThread thread;
//   thread.BecomeCurrent();                          // on that OS thread
//   thread.BeginAccounts();                          // on it: its processor time counts from here on
//   ...
//   OsThread::Look look = thread.LookAtIt();         // any thread: {.state = kWaits, .call = "recvfrom", .fd = 12}
//
// What it does is read in /proc, by system calls of our own: nothing here parks or blocks. About 15 us a look. A
// process that has changed its user may be refused that (prctl(2), PR_SET_DUMPABLE): then the state is kUnknown, and
// nothing else is missing but the use of the stack.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace greenring {

class OsThread {
 public:
  struct Look {
    enum class State : uint8_t {
      kUnknown,
      kRuns,   // on a processor, or waits for one
      kWaits,  // in `call`
    };
    State state = State::kUnknown;
    const char* call = nullptr;   // the system call's name, or that of NameWaits; for ever. "system call": one without
                                  // a name here
    int fd = -1;                  // the descriptor that it is for; -1: none
    size_t stack_used_bytes = 0;  // kWaits: down to where it waits
  };

  OsThread() = default;
  OsThread(const OsThread&) = delete;
  OsThread& operator=(const OsThread&) = delete;

  // On the OS thread, which is this one from now on; once.
  void BecomeCurrent();

  // On the OS thread: CpuNs counts from now on. A system call.
  void BeginAccounts();

  // The rest from any thread, while the OS thread has not ended. Before BecomeCurrent all of it is 0 or unknown.

  // The kernel's number of it, as in `ps -L`.
  pid_t id() const { return id_.load(std::memory_order_acquire); }
  // Of its processor time. A system call.
  int64_t CpuNs() const;
  size_t stack_size_bytes() const { return id() != 0 ? stack_size_bytes_ : 0; }
  Look LookAtIt() const;

  // A wait for a word of this memory (futex(2)) is told as `call`, which lives for ever. One such range. Before there
  // are others who look.
  static void NameWaits(const void* begin, size_t size_bytes, const char* call);

 private:
  size_t ReadFile(const char* name, char* text, size_t size) const;

  std::atomic<pid_t> id_{0};  // written last
  clockid_t cpu_clock_ = 0;
  uintptr_t stack_top_ = 0;
  size_t stack_size_bytes_ = 0;
  std::atomic<int64_t> cpu_before_ns_{0};
};

}  // namespace greenring
