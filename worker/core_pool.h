// The cores of one worker: what runs one request at a time each, and the requests that wait for one.
//
//   CorePool pool(&scheduler, {.cores_max = 256, .queue_depth_max = 1024}, &runner);
//   if (!pool.Submit(exchange)) RefuseWith503();            // on the loop
//   while (HttpExchange* exchange = pool.Next()) ...        // in runner.RunCore, on each core
//   pool.Apply({.engine = CoreEngine::kFcontext}, 7, 0); // while it runs
//
// A core that has finished a request takes the next one without a switch; an idle core is woken only when every
// runnable green thread has run (green::WorkSource), so a burst of requests that never park is served by one core. The
// core woken is the one that was busy last: its stack and Python state are in the cache. Cores are spawned when all
// others are busy, and kept.
//
// Cores belong to a generation, whose settings they were spawned with. Requests that are taken up after an Apply run
// with the new settings at once: what is busy on an old core finishes there, comes on top of the new cores_max, and
// nothing new is given to that core. So for as long as the old requests last there may be up to the old and the new
// maximum together. Where engine and stack size stay as they are, cores are not replaced: they go over to the new
// generation as they are, and count.
//
// A canary is a second generation beside the first, for a share of the cores. Each gets its share of the requests, by
// counting, not by chance, also when most cores are idle; but a request never waits for a core of one generation while
// the other has one to spare.
//
// Loop's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/intrusive_list.h"
#include "green/scheduler.h"
#include "green/stack_slab.h"
#include "green/timer_queue.h"
#include "worker/core_engine.h"

namespace greenring::worker {

class HttpExchange;

struct CoreSettings {
  CoreEngine engine = CoreEngine::kUcontext;
  size_t stack_size_bytes = green::kDefaultStackSizeBytes;  // of green threads
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

    // There is another number of cores in some generation, or another generation; at most once a turn, in the loop's
    // context. That cores become busy or idle is not told.
    virtual void OnGenerationsChanged() {}

   protected:
    ~Runner() = default;
  };

  struct GenerationCount {
    int64_t generation = 0;
    int cores = 0;
    int busy = 0;

    bool operator==(const GenerationCount&) const = default;
  };

  // The first generation is 0.
  CorePool(green::Scheduler* scheduler, const CoreSettings& settings, Runner* runner);

  // Every core has ended (checked): after Stop, and a run of the scheduler.
  ~CorePool();

  CorePool(const CorePool&) = delete;
  CorePool& operator=(const CorePool&) = delete;

  // Other settings, under the number `generation`. With `canary_percent` 0 they are for all cores: idle cores of others
  // end, busy ones when their request has. With 1 to 99 they are for that share of the cores only, rounded up, but
  // one is left for the others (a single core is the canary's): the latest settings for all hold for the rest, and for
  // how many requests may wait. The scheduler's SetSpawnSettings follows what is for all. Never parks.
  //
  // A canary ends with the next Apply for all: of its own generation, so that its cores are kept and the others end, or
  // of the one beside it, which is the other way round.
  void Apply(const CoreSettings& settings, int64_t generation, int canary_percent);

  // Those that requests are given to, also without cores yet, and those that still have cores; newest first.
  std::vector<GenerationCount> generations() const;

  // Queues a request for the next free core; false when the queue is full. Never parks.
  bool Submit(HttpExchange* exchange);

  // Takes out a request that still waits for a core (checked). Never parks.
  void Withdraw(HttpExchange* exchange);

  // On a core: the next request, whose generation() is the core's, or null when the core shall end. Parks until there
  // is one.
  HttpExchange* Next();

  // On a core: what it was spawned with.
  CoreEngine current_engine() const;
  size_t current_stack_size_bytes() const;

  // What makes up the cores of that generation, which has some.
  CoreEngine engine_of(int64_t generation) const;

  // Cores end as soon as they are idle; no Submit after it. Never parks.
  void Stop();

  size_t live_count() const { return live_count_; }
  size_t busy_count() const { return live_count_ - idle_count_; }
  size_t queue_depth() const { return queue_depth_; }
  // Submit would refuse.
  bool full() const;

 private:
  struct IdleCore;    // on the idle core's stack
  struct Generation;  // core_pool.cc
  struct LiveCore;    // on the core's stack

  struct ChangeTimer : green::Timer {
    explicit ChangeTimer(CorePool* pool)
        : Timer([](Timer* timer) { static_cast<ChangeTimer*>(timer)->pool->runner_->OnGenerationsChanged(); }),
          pool(pool) {}
    CorePool* const pool;
  };

  void RunCore(Generation* generation);
  void OnCoreGone(Generation* generation);
  static void OnAbandoned(green::GreenThread* thread, void* core);

  Generation* Find(const CoreSettings& settings, int64_t number);
  Generation* Add(const CoreSettings& settings, int64_t number);
  void ApplyToAll(const CoreSettings& settings, int64_t number);
  void ApplyToCanary(const CoreSettings& settings, int64_t number, int percent);
  void ShareCores();
  void Retire(Generation* generation);
  void EndIdle(Generation* generation, size_t count);
  void EraseEnded();
  void NoteChange();

  Generation* Deal();
  HttpExchange* Take(Generation* generation);
  Generation* Other(const Generation* generation) const;
  void Wake(Generation* generation);
  void Spawn(Generation* generation);
  void Refill() override;
  void RefillFor(Generation* generation);

  green::Scheduler* const scheduler_;
  Runner* const runner_;
  std::vector<std::unique_ptr<Generation>> all_;
  Generation* main_;              // what is for all
  Generation* canary_ = nullptr;  // beside it
  int canary_percent_ = 0;
  int dealt_percent_ = 0;  // of a request that the canary is owed
  size_t queue_depth_max_;
  size_t queue_depth_ = 0;
  size_t idle_count_ = 0;
  size_t live_count_ = 0;
  bool stopping_ = false;
  ChangeTimer change_timer_{this};
};

}  // namespace greenring::worker
