// One pool: its desired state, how that is changed, and what brings the workers there.
//
//   PoolRunner runner(environment, pool, host);
//   absl::Status status = runner.Bind();                                  // its addresses
//   runner.Begin();                                                       // starts its workers
//   absl::StatusOr<v1::Operation> operation = runner.Reload(caller);
//
// docs/CONTROL_PLANE.md says what happens when: which changes exclude each other, what is rolled back and to what. On
// the reactor's thread only; nothing blocks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/caller.h"
#include "control/canary.h"
#include "control/config/pool_config.h"
#include "control/listening_sockets.h"
#include "control/operations.h"
#include "control/pool_sockets.h"
#include "control/route_map.h"
#include "control/uwsgi/uwsgi_desk.h"
#include "control/worker_set.h"
#include "greenring/control/v1/pool.pb.h"
#include "greenring/control/v1/pool_service.pb.h"

namespace greenring::control {

class PoolRunner final : private WorkerSet::Owner, private UwsgiDesk::Host {
 public:
  class Host {
   public:
    // What durable() returns has changed without a call: something was committed, or rolled back.
    virtual void OnDesiredChanged(PoolRunner* runner) = 0;
    // Its workers have changed somehow. The runner may not be deleted in it.
    virtual void OnPoolChanged(PoolRunner* runner) = 0;
    // Its routes or its addresses have changed, or it is deleted: who serves what has to be told anew, before its
    // workers are told what else has changed.
    virtual void OnRoutingChanged() = 0;
    // One of its workers wants the server to end, which must not happen in this call.
    virtual void OnStopAsked(const Caller& caller) = 0;

   protected:
    ~Host() = default;
  };

  struct Environment {
    WorkerSet::Environment workers;
    ListeningSockets* sockets;
    Operations* operations;
  };

  // `pool`: every default filled in. Its generation is kept; 0 becomes 1.
  PoolRunner(const Environment& environment, v1::Pool pool, Host* host);
  PoolRunner(const PoolRunner&) = delete;
  PoolRunner& operator=(const PoolRunner&) = delete;

  // Once, first. The error says why an address cannot be bound.
  absl::Status Bind();
  // Once, after that, when SetRoutes has been called.
  void Begin();

  // What its workers have to know of it: this, and then of all pools together SetRoutes.
  RoutedPool Routed() const;
  void SetRoutes(const WorkerRoutes& routes) { workers_.SetRoutes(routes); }

  // ---- changes; each begins an operation, or says why it cannot ----

  // Waits for what Begin has begun.
  v1::Operation Create(const Caller& caller);

  // Whether Update would begin: nothing that excludes it is under way. FAILED_PRECONDITION names what is.
  absl::Status AdmitUpdate(const v1::Pool& to, const v1::Canary* canary) const;
  // `to`: the whole pool, with defaults. Only after AdmitUpdate. The error says why an address cannot be bound.
  absl::StatusOr<v1::Operation> Update(v1::Pool to, const v1::Canary* canary, const Caller& caller);

  absl::StatusOr<v1::Operation> Reload(const Caller& caller);
  absl::StatusOr<v1::Operation> Restart(const std::string& worker, const Caller& caller);
  v1::Operation Drain(const Caller& caller);
  absl::StatusOr<v1::Operation> Resume(const Caller& caller);
  absl::StatusOr<v1::Operation> Delete(const Caller& caller);

  // Undoes `operation`, which is under way. FAILED_PRECONDITION when that is not possible.
  absl::Status Cancel(const std::string& operation, const Caller& caller);
  bool Has(const std::string& operation) const;

  // The server ends: workers drain, what is under way is aborted, and nothing of it is desired state.
  void Stop();

  // ---- what there is ----

  const std::string& name() const { return desired_.name(); }
  const v1::Pool& desired() const { return desired_; }
  // What may hold after a restart of the server: the desired state, without what can still be rolled back.
  const v1::Pool& durable() const;
  // Desired and observed, with the etag.
  v1::Pool Describe() const;
  bool IsReady() const;
  // Deleted, or stopped, and nothing is left of it.
  bool IsGone() const { return (deleting_ || stopping_) && workers_.empty(); }
  bool deleting() const { return deleting_; }
  WorkerSet* workers() { return &workers_; }
  const WorkerSet* workers() const { return &workers_; }
  std::vector<std::string> Addresses() const { return sockets_.Addresses(); }

 private:
  enum class Waits { kForConvergence, kForReplacement, kForDrain, kForDeletion };

  // An operation that is under way, and what it waits for.
  struct Pending {
    std::string operation = {};
    Waits waits;
    int64_t generation = 0;                 // every worker runs it, or a later one
    int64_t epoch = 0;                      // every slot's worker is of it, or a later one
    std::optional<v1::Pool> previous = {};  // of a LIVE change: what it goes back to
    int slot = 0;                           // whose worker is replaced,
    std::string worker = {};                // this one
    int workers_total = 0;                  // that drain
  };

  // A replacement of all workers that is under way, to go back from.
  struct Rollout {
    std::string operation;
    int64_t previous_epoch;
    std::optional<v1::Pool> previous;  // of a START change; a reload has none
  };

  struct Trial {
    std::string operation;
    v1::Pool previous;
    CanaryTrial canary;
    std::unique_ptr<Timers::Timer> end;
  };

  void OnStartFailed(const SupervisedWorker& worker, bool successor) override;
  void OnDied(const SupervisedWorker& worker) override;
  void OnApplyRefused(const SupervisedWorker& worker, int64_t generation, const std::string& why) override;
  void OnReady(const SupervisedWorker& worker) override { uwsgi_.OnWorkerReady(worker); }
  void OnEnded(const SupervisedWorker& worker) override { uwsgi_.OnWorkerEnded(worker); }
  void OnUwsgiCall(SupervisedWorker* worker, int64_t id, const worker::v1::UwsgiCall& call) override {
    uwsgi_.OnCall(worker, id, call);
  }
  absl::Status ReloadPool(const Caller& caller) override { return Reload(caller).status(); }
  void StopServer(const Caller& caller) override { host_->OnStopAsked(caller); }
  void OnWorkersChanged() override;

  v1::Operation Begin(const std::string& verb, const std::string& target, const Caller& caller, Pending pending);
  void SetDesired(v1::Pool pool);
  void CloseWhenLeft();
  void SetTarget(const std::string& reason);
  void Act(const std::string& reason);
  void BeginTrial(const v1::Canary& canary, v1::Pool previous, const std::string& operation);

  // What ends changes. `status` becomes that of the operation; OK: it has succeeded.
  void CommitRollout();
  void AbortRollout(const absl::Status& status);
  void PromoteTrial();
  void RollBackTrial(const absl::Status& status);
  void AbortAll(const std::string& why);
  void GoBackTo(v1::Pool previous);
  void Finish(std::string operation, const absl::Status& status);

  void Check();
  void CheckTrial();
  void ShrinkSockets();
  void CheckOperations();
  bool IsDone(const Pending& pending) const;
  Operations::Steps StepsOf(const Pending& pending) const;
  std::string StageOf(const Pending& pending) const;
  absl::Status ExcludedBy(bool live_change) const;
  void Announce();
  v1::PoolStatus::State State() const;
  v1::PoolStatus Status() const;

  const Environment environment_;
  Host* const host_;
  v1::Pool desired_;
  PoolSockets sockets_;
  WorkerSet workers_;
  UwsgiDesk uwsgi_;
  int64_t epoch_ = 1;
  int64_t last_epoch_ = 1;
  std::optional<Rollout> rollout_;
  std::optional<Trial> trial_;
  std::vector<Pending> pending_;
  bool deleting_ = false;
  std::vector<std::string> last_addresses_;  // when it was deleted
  bool stopping_ = false;
  v1::PoolStatus::State announced_ = v1::PoolStatus::STARTING;
};

}  // namespace greenring::control
