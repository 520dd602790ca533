// The workers of one pool: starts them, replaces them, lets them go, and starts again what has died.
//
// Each of the slots 1 to `slots` has one current worker; while that is replaced also a successor, which becomes the
// current one when it is ready; what has been replaced drains. So a slot never has more than two workers that take
// connections, and two only while one is replaced.
//
//   WorkerSet set(environment, "pools/web", &sockets, owner);
//   set.target() = {...};          // what there should be
//   set.Reconcile();               // the next steps towards it; more follow by themselves as workers tell of
//   themselves
//
// A worker that dies is started again at once, then after 0.1 s, 0.2 s, ... 30 s, until one has been well for a minute:
// each slot on its own. When the configuration is to blame, one worker at a time tries again, after 1 s, 2 s, ... 60 s.
// On the reactor's thread only; nothing blocks.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/backoff.h"
#include "control/pool_sockets.h"
#include "control/supervised_worker.h"
#include "control/timers.h"
#include "greenring/control/v1/pool.pb.h"
#include "greenring/control/v1/statistics.pb.h"
#include "greenring/control/v1/worker_service.pb.h"

namespace greenring::control {

class WorkerSet final : private SupervisedWorker::Owner {
 public:
  static constexpr size_t kEndedMax = 10;

  struct Target {
    bool serving = false;       // else every worker drains,
    bool leaves_first = false;  // having accepted what waits in its sockets: some of it may be another pool's
    int slots = 0;
    int64_t epoch = 0;           // current workers of an older one are replaced
    bool swap_together = false;  // no old worker stops before all successors are ready
    v1::Pool start;              // what new workers start with
    v1::Pool live;               // what every worker is told
    int canary_percent = 0;      // for that share of the cores
    std::string reason;          // why workers go, for their ends
  };

  class Owner {
   public:
    // `worker` could not be started. As a successor: the current worker of its slot still serves.
    virtual void OnStartFailed(const SupervisedWorker& worker, bool successor) = 0;
    virtual void OnDied(const SupervisedWorker& worker) = 0;
    virtual void OnApplyRefused(const SupervisedWorker& worker, int64_t generation, const std::string& why) = 0;
    // As soon as it is so, before what follows from it is told. Workers that leave end, too.
    virtual void OnReady(const SupervisedWorker& worker) = 0;
    virtual void OnEnded(const SupervisedWorker& worker) = 0;
    virtual void OnUwsgiCall(SupervisedWorker* worker, int64_t id, const worker::v1::UwsgiCall& call) = 0;
    // After each of those, and after everything else. The set has taken its own steps already.
    virtual void OnWorkersChanged() = 0;

   protected:
    ~Owner() = default;
  };

  struct Environment {
    SupervisedWorker::Environment worker;
    std::mt19937_64* random;
    std::vector<int> cpus;  // that the server may use
  };

  WorkerSet(Environment environment, std::string pool_name, PoolSockets* sockets, Owner* owner);

  Target& target() { return target_; }
  const Target& target() const { return target_; }

  // Never calls the owner.
  void Reconcile();

  // Tells every worker that serves, or will, of target().live.
  void ApplyToAll();

  // For the workers that there are, and those that come.
  void SetRoutes(const WorkerRoutes& routes);

  // The current worker of its slot is replaced, though nothing is wrong with it. Until it is, or CancelReplacement.
  void Replace(int slot, const std::string& reason);
  void CancelReplacement(int slot);

  // Successors go again. With `replace_newer` current workers of a later epoch than the target's are replaced, too.
  void Retreat(const std::string& reason, bool replace_newer);

  // What failed before does not delay the next start: something has changed.
  void ForgetFailures();

  void KillAll();
  void DumpAll();

  // ---- what there is ----

  bool AllReady(int64_t epoch) const;     // in exactly the target's slots, of that epoch or later
  bool AllRun(int64_t generation) const;  // every worker that serves
  int CountReady() const;                 // slots whose worker is ready
  int CountReadyOf(int64_t epoch, int64_t generation) const;
  int CountPrepared() const;             // slots with a ready worker of the target's epoch, current or successor
  bool empty() const;                    // no process is left
  bool AnyAcceptsAbove(int slot) const;  // of a later slot, that takes connections or soon will
  const std::string& start_error() const {
    return start_error_;
  }  // why there are none; empty again with the next Ready
  bool configuration_is_to_blame() const { return configuration_is_to_blame_; }
  int restarts() const { return restarts_; }
  int64_t last_number() const { return last_number_; }

  // By number; those that have ended are in ended().
  std::vector<SupervisedWorker*> All() const;
  SupervisedWorker* Find(const std::string& name) const;
  SupervisedWorker* Current(int slot) const;  // null: none now
  bool IsCurrent(const SupervisedWorker& worker) const { return Current(worker.identity().slot) == &worker; }
  const std::deque<v1::Worker>& ended() const { return ended_; }

  // Of all workers that there are and were: counters never fall.
  v1::Statistics TotalStatistics() const;

 private:
  static constexpr Backoff::Settings kDeathBackoff = {
      .first_ns = 100 * kNanosecondsPerMillisecond, .longest_ns = 30 * kNanosecondsPerSecond, .at_once_first = true};
  static constexpr Backoff::Settings kConfigurationBackoff = {.first_ns = kNanosecondsPerSecond,
                                                              .longest_ns = 60 * kNanosecondsPerSecond};

  struct Slot {
    std::unique_ptr<SupervisedWorker> current;
    std::unique_ptr<SupervisedWorker> successor;
    std::string replace_reason;
    Backoff backoff{kDeathBackoff};
    int64_t not_before_ns = 0;
    std::unique_ptr<Timers::Timer> retry;
  };

  void OnWorkerReady(SupervisedWorker* worker) override;
  void OnWorkerChanged(SupervisedWorker* worker) override;
  void OnApplyRefused(SupervisedWorker* worker, int64_t generation, const std::string& why) override;
  void OnUwsgiCall(SupervisedWorker* worker, int64_t id, const worker::v1::UwsgiCall& call) override {
    owner_->OnUwsgiCall(worker, id, call);
  }
  void OnWorkerEnded(SupervisedWorker* worker) override;

  void Changed();
  void ReconcileSlot(int number, Slot* slot);
  void FillVacancy(int number, Slot* slot);
  void SwapWhatIsPrepared();
  bool IsPrepared(const Slot& slot) const;
  bool IsStale(const Slot& slot) const;
  bool MayStartAnotherSuccessor() const;
  std::unique_ptr<SupervisedWorker> StartWorker(int number, Slot* slot, bool successor);
  void TellOfStillborn();
  enum class Manner { kDrain, kLeaveFirst };
  void LetGo(std::unique_ptr<SupervisedWorker> worker, const std::string& reason, Manner manner);
  void LetSlotGo(Slot* slot, Manner manner);
  void Swap(Slot* slot);
  void UpdateActiveSlots();
  void WaitBeforeNextStart(const SupervisedWorker& worker, Slot* slot, bool successor);
  void RetryAt(Slot* slot, int64_t instant_ns);
  bool AnyStarts() const;
  void Record(const SupervisedWorker& worker);

  const Environment environment_;
  const std::string pool_name_;
  PoolSockets* const sockets_;
  Owner* const owner_;
  Target target_;
  WorkerRoutes routes_;
  std::map<int, Slot> slots_;
  std::vector<std::unique_ptr<SupervisedWorker>> leaving_;
  struct Stillborn {
    std::unique_ptr<SupervisedWorker> worker;
    bool successor;
  };
  std::vector<Stillborn> stillborn_;  // for whom there was no process: the owner is told of them a little later
  std::unique_ptr<Timers::Timer> stillborn_timer_;

  int64_t last_number_ = 0;
  int restarts_ = 0;
  std::string start_error_;
  bool configuration_is_to_blame_ = false;
  Backoff configuration_backoff_{kConfigurationBackoff};
  int64_t configuration_not_before_ns_ = 0;
  std::deque<v1::Worker> ended_;
  v1::Statistics ended_statistics_;
};

}  // namespace greenring::control
