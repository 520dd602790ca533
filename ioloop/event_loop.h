// One worker's event loop: the Poller that puts a green::Scheduler to sleep in the ring.
//
//   auto ring = Uring::Create({}).value();
//   green::Scheduler scheduler;
//   EventLoop loop(ring.get(), &scheduler);
//   auto listener = Listener::Open("127.0.0.1:8080").value();
//   listener->Start(&loop, &connections);
//   scheduler.Run(&loop);
//
// Owns the pool of output blocks and the list of streams with work for the end of the turn; ring and scheduler are the
// caller's and outlive it. Everything on the scheduler's thread, except Wake.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/histogram.h"
#include "base/intrusive_list.h"
#include "green/scheduler.h"
#include "ioloop/output_block.h"
#include "ioloop/ring.h"

namespace greenring::ioloop {

// Something that has work for the end of the turn: a stream with output to send or a receive to arm. Queuing it there
// instead of doing it at once is what makes one system call serve a whole turn.
class Flushable : public ListLink {
 public:
  // Queues the operations on the ring. In the loop's context; never parks.
  virtual void Flush() = 0;

 protected:
  ~Flushable() = default;
};

// Counted since the start.
struct EventLoopStats {
  uint64_t turns = 0;
  uint64_t completions = 0;
  uint64_t bytes_received = 0;  // by streams
  uint64_t bytes_sent = 0;      // what the kernel took of them

  // How long the loop was away from polling: from when one returned from the kernel until the next one begins. In
  // that time completions are delivered and green threads run; what arrives meanwhile waits for so long at most.
  Histogram lag;
};

class EventLoop final : public green::Poller {
 public:
  EventLoop(Ring* ring, green::Scheduler* scheduler) : ring_(ring), scheduler_(scheduler) {}
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  ~EventLoop() override = default;  // checked by its members: every stream is gone

  // One turn, see event_loop.cc for its rules.
  void Poll(int64_t deadline_ns) override;

  // Hands what is queued to the kernel at once and delivers nothing: for a green thread that has output to show and is
  // going to compute for long. One system call. Never parks.
  void SubmitNow();

  // Thread-safe and async-signal-safe.
  void Wake() override { ring_->Wake(); }

  // Calls `flushable->Flush()` once, before the loop next enters the kernel. Does nothing when it is queued already.
  // The turn ends early when many are queued.
  void FlushLater(Flushable* flushable) {
    if (flushable->linked()) return;
    to_flush_.PushBack(flushable);
    if (++to_flush_count_ == kFlushedTogetherMax) scheduler_->PollSoon();
  }

  // Streams tell what they carry.
  void CountReceived(size_t bytes) { stats_.bytes_received += bytes; }
  void CountSent(size_t bytes) { stats_.bytes_sent += bytes; }

  // A stream counts itself as busy once an epoch; `mark` is its own.
  void CountBusy(uint32_t* mark) {
    if (*mark == epoch_) return;
    *mark = epoch_;
    ++busy_count_;
  }

  Ring* ring() const { return ring_; }
  green::Scheduler* scheduler() const { return scheduler_; }
  Clock* clock() const { return scheduler_->clock(); }
  OutputBlockPool* blocks() { return &blocks_; }
  const EventLoopStats& stats() const { return stats_; }

  // A wait gathers one completion for so many streams that were busy in the last epoch, and has so much patience.
  // docs/BENCHMARKS.md: more than an eighth, or a longer patience, turns the gain of fewer sleeps into delay.
  static constexpr unsigned kBusyStreamsPerCompletion = 8;
  static constexpr int64_t kPatienceNs = 20 * kNanosecondsPerMicrosecond;
  static constexpr int64_t kEpochNs = 256 * kNanosecondsPerMicrosecond;

  // One system call for so many answers costs each next to nothing; more of them at a time come later, hold a block of
  // output each, and are answered by as many clients at once, each of which needs a buffer.
  static constexpr int kFlushedTogetherMax = 64;

 private:
  void Wait(int64_t deadline_ns);
  // Whether there was anything to flush.
  bool FlushAll();

  Ring* const ring_;
  green::Scheduler* const scheduler_;
  IntrusiveList<Flushable> to_flush_;
  int to_flush_count_ = 0;  // queued since the last time; some may have been unlinked
  OutputBlockPool blocks_;
  EventLoopStats stats_;
  uint64_t polled_ticks_ = 0;  // when the last poll came back from the kernel; 0: none has

  uint32_t epoch_ = 1;  // streams begin with 0
  unsigned busy_count_ = 0;
  unsigned busy_count_last_ = 0;  // of the epoch before
  int64_t epoch_end_ns_ = 0;
};

}  // namespace greenring::ioloop
