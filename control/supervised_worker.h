// One worker from its start to its end: what it is, what it has said, and what the supervisor has asked of it.
//
//   SupervisedWorker worker(environment, identity, pool, owner);
//   worker.Start(sockets, cpus);          // kStarting, then owner->OnWorkerReady or owner->OnWorkerEnded
//   worker.Drain("reload");               // kDraining, then owner->OnWorkerEnded
//
// It sees to its own timeouts: a worker that is not ready in time, or does not end in time, is killed. On the reactor's
// thread only; nothing blocks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/event_log.h"
#include "control/timers.h"
#include "control/worker_handle.h"
#include "greenring/control/v1/pool.pb.h"
#include "greenring/control/v1/worker_service.pb.h"
#include "greenring/worker/v1/link.pb.h"

namespace greenring::control {

class SupervisedWorker final : private WorkerHandle::Observer {
 public:
  enum class State {
    kStarting,
    kReady,
    kLeaving,   // ready, but takes only what waits in its listening sockets already; kDraining follows
    kDraining,  // takes nothing new
    kEnded,
  };

  // How it has ended.
  enum class End {
    kAsAsked,                   // it drained, or was told to go before it was ready
    kByItself,                  // it was unfit, and drained by itself
    kDied,                      // it was ready
    kStartFailed,               // it never was
    kStartFailedConfiguration,  // the same, and trying again will not help before something is changed
  };

  // Told on the reactor's thread.
  class Owner {
   public:
    virtual void OnWorkerReady(SupervisedWorker* worker) = 0;
    // What it observes, reports or wants has changed.
    virtual void OnWorkerChanged(SupervisedWorker* worker) = 0;
    // It will not do as it was told to with Apply(pool, ...), and says why.
    virtual void OnApplyRefused(SupervisedWorker* worker, int64_t generation, const std::string& why) = 0;
    // Its module `uwsgi` asks; to be answered with Tell of its handle.
    virtual void OnUwsgiCall(SupervisedWorker* worker, int64_t id, const worker::v1::UwsgiCall& call) = 0;
    // The last call; the worker may be deleted in it.
    virtual void OnWorkerEnded(SupervisedWorker* worker) = 0;

   protected:
    ~Owner() = default;
  };

  struct Environment {
    Timers* timers;
    EventLog* events;
    WorkerFactory* factory;
  };

  struct Identity {
    std::string name;  // "pools/web/workers/7"
    int64_t number;
    int slot;
    // Workers of a later epoch have newer code, or a newer configuration of the START kind.
    int64_t epoch;
  };

  // `pool`: what it starts with. A process that still runs is killed by the destructor.
  SupervisedWorker(const Environment& environment, Identity identity, v1::Pool pool, Owner* owner);
  SupervisedWorker(const SupervisedWorker&) = delete;
  SupervisedWorker& operator=(const SupervisedWorker&) = delete;

  struct Socket {
    int fd;
    std::string address;
    v1::Listener::Protocol protocol;
  };
  // Once. On an error there is no process, the state is kEnded and `owner` is not called.
  absl::Status Start(const std::vector<Socket>& sockets, const WorkerRoutes& routes, std::vector<int> cpus);

  // LIVE fields hold from now on, for `canary_percent` of the cores, or for all with 0. A worker that starts is told
  // when it is ready; to one that leaves it is of no use.
  void Apply(const v1::Pool& pool, int canary_percent);

  // These hold from now on, also while it leaves or drains: it may still accept what is another pool's. A worker that
  // starts is told when it is ready, before anything else.
  void SetRoutes(const WorkerRoutes& routes);

  // No new connections are sent to it any more (see ListeningSockets): it takes those that wait, then drains.
  void Leave(const std::string& reason);
  // It takes nothing new, finishes what it has, and ends; killed when that takes too long.
  void Drain(const std::string& reason);
  // It ends at once. `reason`: in words, for its end; empty when the world shall know it as a death.
  void Kill(const std::string& reason);

  // For requests to it; null when it has ended.
  WorkerHandle* handle() { return handle_.get(); }

  const Identity& identity() const { return identity_; }
  const std::string& name() const { return identity_.name; }
  State state() const { return state_; }
  bool IsLive() const { return state_ == State::kStarting || state_ == State::kReady; }
  End end() const { return end_; }
  // Why it has ended: "signal 9 (Killed)"; for those that did not start the application's traceback.
  const std::string& end_reason() const { return end_reason_; }

  // Every core runs `generation`, or a later one; and it has said so.
  bool Runs(int64_t generation) const;
  // The oldest generation that still has cores.
  int64_t OldestGeneration() const;
  int64_t NewestGeneration() const;
  // Newest first; what the worker has said last, or what it started with.
  std::vector<v1::GenerationStatus> Generations() const;

  // It serves, but should be replaced; empty: it need not.
  const std::string& unfit_reason() const { return unfit_reason_; }

  // Empty until it is ready.
  const std::string& python_version() const { return python_version_; }

  const worker::v1::FromWorker::Report& report() const { return report_; }
  int64_t ready_since_ns() const { return ready_since_ns_; }

  v1::Worker Describe() const;

 private:
  void OnReady(const worker::v1::FromWorker::Ready& ready) override;
  void OnStartFailed(const worker::v1::FromWorker::StartFailed& failed) override;
  void OnObserved(const worker::v1::FromWorker::Observed& observed) override;
  void OnReport(const worker::v1::FromWorker::Report& report) override;
  void OnUnfit(const worker::v1::FromWorker::Unfit& unfit) override;
  void OnDraining(const worker::v1::FromWorker::Draining& draining) override;
  void OnUwsgiCall(int64_t id, const worker::v1::UwsgiCall& call) override { owner_->OnUwsgiCall(this, id, call); }
  void OnEnded(const WorkerEnd& end) override;

  void SendRoutes();
  void SendApply();
  void OnApplied(int64_t generation, int64_t attempt, const absl::StatusOr<worker::v1::FromWorker>& answer);
  void BeginDraining(const std::string& reason);
  void KillAfter(int64_t delay_ns, std::string reason);
  End JudgeEnd(const WorkerEnd& end) const;
  void TellOfEnd();

  const Environment environment_;
  const Identity identity_;
  Owner* const owner_;
  v1::Pool pool_;  // that it was told last
  int canary_percent_ = 0;
  int64_t apply_attempt_ = 0;
  int64_t agreed_generation_;  // what it has said yes to
  WorkerRoutes routes_;
  bool routes_wait_ = false;

  State state_ = State::kStarting;
  std::unique_ptr<Timers::Timer> timer_;  // to the next timeout: of its start, or of its end
  std::unique_ptr<Timers::Timer> apply_timer_;
  bool asked_to_end_ = false;
  bool ends_by_itself_ = false;
  std::string leave_reason_;
  std::string kill_reason_;
  std::string unfit_reason_;
  std::unique_ptr<worker::v1::FromWorker::StartFailed> start_failed_;

  std::vector<int> cpus_;
  std::vector<std::string> addresses_;
  int pid_ = 0;
  google::protobuf::Timestamp start_time_;
  google::protobuf::Timestamp ready_time_;
  google::protobuf::Timestamp end_time_;
  int64_t ready_since_ns_ = 0;
  bool was_ready_ = false;
  std::string python_version_;
  End end_ = End::kAsAsked;
  std::string end_reason_;
  std::string end_dump_;
  worker::v1::FromWorker::Observed observed_;
  worker::v1::FromWorker::Report report_;

  std::unique_ptr<WorkerHandle> handle_;  // last: what it calls is still there when it goes
};

}  // namespace greenring::control
