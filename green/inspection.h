// The green threads of a scheduler as they are now: what dumps are made of.
//
//   for (const ThreadInfo& info : InspectThreads(*scheduler)) {
//     std::puts(StrCat(info.id, " ", info.name, " ", StateName(info.state), " ", info.wait.call).c_str());
//   }
//
// Scheduler's thread only. Never parks. About a microsecond each, most of it the system call for the use of the stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "green/green_thread.h"
#include "green/lock_holders.h"
#include "green/scheduler.h"
#include "green/wait_note.h"

namespace greenring::green {

struct ThreadInfo {
  const GreenThread* thread = nullptr;  // valid until something is switched
  uint64_t id = 0;
  const char* name = "";
  GreenThread::State state = GreenThread::State::kRunning;
  // kParked: what it waits for. kRunnable and kRunning: what call it is in, if any.
  WaitNote wait;
  // How long it has been in its state; for one that is parked, how long it has waited for what it waits for, which may
  // be several parks.
  int64_t since_ns = 0;
  int64_t deadline_ns = kNeverNs;  // of its park: an instant of the scheduler's clock
  int64_t run_ns = 0;              // how long it has had the OS thread, with its turn if it runs now
  uint64_t switches = 0;
  size_t stack_used_bytes = 0;  // at its deepest (StackSlab::WatermarkBytes)
  size_t stack_size_bytes = 0;
  bool cancel_pending = false;
  LockHolders::Holder holder;  // of the lock that it waits for
};

// "parked" and so on.
std::string_view StateName(GreenThread::State state);

// Whether it waits for a lock right now.
inline bool AwaitsLock(const GreenThread& thread) {
  return thread.state() == GreenThread::State::kParked && thread.wait_note().kind == WaitNote::Kind::kLock;
}

// How long `thread` has been parked in what it waits for, or in its state, up to `now_ticks`.
int64_t WaitedNs(const GreenThread& thread, uint64_t now_ticks);

// Of one that has not ended.
ThreadInfo Inspect(const GreenThread& thread);

// All of them, by id.
std::vector<ThreadInfo> InspectThreads(const Scheduler& scheduler);

}  // namespace greenring::green
