// The cores of one worker: green threads that each run one request at a time, and the requests that wait for one.
//
//   CorePool pool(&scheduler, {.cores_max = 256, .queue_depth_max = 1024}, &runner);
//   if (!pool.Submit(exchange)) RefuseWith503();            // on the loop
//   while (HttpExchange* exchange = pool.Next()) ...        // in runner.RunCore, on each core
//
// A core that has finished a request takes the next one without a switch; an idle core is woken only when every
// runnable green thread has run (green::WorkSource), so a burst of requests that never park is served by one core. The
// core woken is the one that was busy last: its stack and Python state are in the cache. Cores are spawned when all
// others are busy, and kept. Loop's thread only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/intrusive_list.h"
#include "green/scheduler.h"

namespace greenring::worker {

class HttpExchange;

struct CorePoolOptions {
  size_t cores_max = 256;
  // Requests that wait for a core; what comes beyond is refused. A second of work for most applications.
  size_t queue_depth_max = 1024;
};

class CorePool final : private green::WorkSource {
 public:
  class Runner {
   public:
    // The life of a core, on its green thread: calls pool->Next() for one request after the other until it is null.
    virtual void RunCore(CorePool* pool) = 0;

    // The stack of `core` has overflowed for good: it is gone, and `exchange`, which it was working for, is not to be
    // used for another request; null: for none. In the loop's context.
    virtual void OnCoreAbandoned(green::GreenThread* core, HttpExchange* exchange) = 0;

    // After Stop: the last core has ended, or been abandoned.
    virtual void OnCoresEnded() = 0;

   protected:
    ~Runner() = default;
  };

  CorePool(green::Scheduler* scheduler, const CorePoolOptions& options, Runner* runner);

  // Every core has ended (checked): after Stop, and a run of the scheduler.
  ~CorePool();

  CorePool(const CorePool&) = delete;
  CorePool& operator=(const CorePool&) = delete;

  // Queues a request for the next free core; false when the queue is full. Never parks.
  bool Submit(HttpExchange* exchange);

  // Takes out a request that still waits for a core (checked). Never parks.
  void Withdraw(HttpExchange* exchange);

  // On a core: the next request, or null when the core shall end. Parks until there is one.
  HttpExchange* Next();

  // Cores end as soon as they are idle; no Submit after it. Never parks.
  void Stop();

  size_t live_count() const { return live_count_; }
  size_t busy_count() const { return live_count_ - idle_count_; }
  size_t queue_depth() const { return queue_depth_; }
  // Submit would refuse.
  bool full() const;

 private:
  struct IdleCore;  // on the idle core's stack
  struct LiveCore {
    CorePool* pool;
    HttpExchange* exchange = nullptr;  // that it works for
  };

  void RunCore();
  static void OnAbandoned(green::GreenThread* thread, void* core);

  void Refill() override;

  green::Scheduler* const scheduler_;
  const CorePoolOptions options_;
  Runner* const runner_;
  IntrusiveList<HttpExchange> ready_;
  size_t queue_depth_ = 0;
  IdleCore* idle_ = nullptr;  // last in, first out
  size_t idle_count_ = 0;
  size_t live_count_ = 0;
  bool stopping_ = false;
};

}  // namespace greenring::worker
