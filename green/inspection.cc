#include "green/inspection.h"

#include <algorithm>

namespace greenring::green {

std::string_view StateName(GreenThread::State state) {
  switch (state) {
    case GreenThread::State::kFree:
      return "ended";
    case GreenThread::State::kRunnable:
      return "runnable";
    case GreenThread::State::kRunning:
      return "running";
    case GreenThread::State::kParked:
      return "parked";
    case GreenThread::State::kAbandoned:
      return "abandoned";
  }
  return "unknown";
}

int64_t WaitedNs(const GreenThread& thread, uint64_t now_ticks) {
  uint64_t since_ticks = thread.since_ticks();
  const uint64_t noted_ticks = thread.wait_note().since_ticks;
  if (thread.state() == GreenThread::State::kParked && noted_ticks != 0) since_ticks = noted_ticks;
  return now_ticks > since_ticks ? thread.scheduler()->TicksToNs(now_ticks - since_ticks) : 0;
}

ThreadInfo Inspect(const GreenThread& thread) {
  Scheduler* const scheduler = thread.scheduler();
  const uint64_t now_ticks = scheduler->NowTicks();
  ThreadInfo info;
  info.thread = &thread;
  info.id = thread.id();
  info.name = thread.name();
  info.state = thread.state();
  info.wait = thread.wait_note();
  info.since_ns = WaitedNs(thread, now_ticks);
  info.deadline_ns = thread.park_deadline_ns();
  uint64_t run_ticks = thread.run_ticks();
  if (info.state == GreenThread::State::kRunning) run_ticks += now_ticks - scheduler->switched_at_ticks();
  info.run_ns = scheduler->TicksToNs(run_ticks);
  info.switches = thread.switches();
  info.stack_used_bytes = StackSlab::WatermarkBytes(thread.stack());
  info.stack_size_bytes = thread.stack().size_bytes;
  info.cancel_pending = thread.cancel_pending();
  if (AwaitsLock(thread)) info.holder = LockHolders::Of(info.wait.object);
  return info;
}

std::vector<ThreadInfo> InspectThreads(const Scheduler& scheduler) {
  std::vector<ThreadInfo> threads;
  threads.reserve(scheduler.stats().live);
  scheduler.ForEach([&](const GreenThread* thread) { threads.push_back(Inspect(*thread)); });
  std::sort(threads.begin(), threads.end(), [](const ThreadInfo& a, const ThreadInfo& b) { return a.id < b.id; });
  return threads;
}

}  // namespace greenring::green
