// The server: its pools, and everything that can be asked of them (ControlPlane). docs/CONTROL_PLANE.md is its guide.
//
//   Supervisor supervisor(environment, server, std::move(state));
//   absl::Status status = supervisor.Begin();           // binds all addresses, starts all workers
//   ...
//   supervisor.Stop();                                  // drains; host->OnStopped() when nothing is left
//
// On the reactor's thread only; nothing blocks, but for `save`, which syncs a file.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/control_plane.h"
#include "control/desired_state.h"
#include "control/event_log.h"
#include "control/inboxes.h"
#include "control/listening_sockets.h"
#include "control/operations.h"
#include "control/pool_runner.h"
#include "control/timers.h"
#include "control/worker_handle.h"

namespace greenring::control {

class Supervisor final : public ControlPlane, private PoolRunner::Host {
 public:
  class Host {
   public:
    // After Begin: something may have become ready, or has failed.
    virtual void OnChanged() = 0;
    // After Stop: no worker is left.
    virtual void OnStopped() = 0;

   protected:
    ~Host() = default;
  };

  struct Environment {
    Timers* timers;
    WorkerFactory* factory;
    ListeningSockets* sockets;
    std::vector<int> cpus;  // that the server may use
    uint64_t seed;          // of jitter
    // Keeps what was changed over the API. Null: it is forgotten with the server.
    std::function<absl::Status(const v1::Configuration&)> save;
  };

  // `server`: what GetServer returns, but for `draining` and the version of Python. It must outlive this.
  Supervisor(Environment environment, const v1::Server* server, DesiredState state, Host* host);
  ~Supervisor() override;

  absl::Status Begin();

  // What a configuration file says now, for the pools that were not changed over the API: new pools are created, those
  // that it does not name any more deleted, changed ones updated; and all others are reloaded. Errors of single pools
  // are events.
  void Reload(const v1::Configuration& file, const Caller& caller);
  void ReloadAll(const Caller& caller);
  // So many workers more, or fewer, in each pool; at least one.
  void ScaleAll(int by, const Caller& caller);
  void DumpAll();
  void Stop();
  void KillAll();

  bool AllReady() const;
  // Why a pool has no worker, while no pool ever was ready; `configuration`: trying again will not help.
  std::string StartError(bool* configuration) const;
  std::vector<std::string> Addresses() const;  // as bound, of all pools

  // ---- ControlPlane ----

  std::vector<v1::Pool> ListPools() override;
  absl::StatusOr<v1::Pool> GetPool(const std::string& name) override;
  absl::StatusOr<v1::Operation> CreatePool(const v1::CreatePoolRequest& request, const Caller& caller) override;
  absl::StatusOr<v1::Operation> UpdatePool(const v1::UpdatePoolRequest& request, const Caller& caller) override;
  absl::StatusOr<v1::Operation> DeletePool(const v1::DeletePoolRequest& request, const Caller& caller) override;
  absl::StatusOr<v1::Operation> ReloadPool(const std::string& name, const Caller& caller) override;
  absl::StatusOr<v1::Operation> DrainPool(const std::string& name, const Caller& caller) override;
  absl::StatusOr<v1::Operation> ResumePool(const std::string& name, const Caller& caller) override;

  absl::StatusOr<std::vector<v1::Worker>> ListWorkers(const std::string& parent, bool show_ended) override;
  absl::StatusOr<v1::Worker> GetWorker(const std::string& name) override;
  absl::StatusOr<v1::Operation> RestartWorker(const std::string& name, const Caller& caller) override;

  void ListRequests(const std::string& parent, int64_t age_min_ns,
                    std::function<void(absl::StatusOr<RequestList>)> done) override;
  void GetStack(const std::string& request, std::function<void(absl::StatusOr<v1::Stack>)> done) override;
  void CancelRequest(const std::string& request, const std::string& reason, const Caller& caller,
                     std::function<void(absl::Status)> done) override;

  std::vector<v1::Operation> ListOperations() override { return operations_.List(); }
  absl::StatusOr<v1::Operation> GetOperation(const std::string& name) override { return operations_.Get(name); }
  absl::StatusOr<v1::Operation> CancelOperation(const std::string& name, const Caller& caller) override;

  v1::Server GetServer() override;
  std::vector<v1::PoolStatistics> ListStatistics(const std::vector<std::string>& pools) override;

  void AddObserver(Observer* observer) override { observers_.push_back(observer); }
  void RemoveObserver(Observer* observer) override;
  std::vector<v1::Event> EventsAfter(int64_t id) override { return events_.After(id); }

 private:
  void OnDesiredChanged(PoolRunner* runner) override;
  void OnPoolChanged(PoolRunner* runner) override;
  void OnRoutingChanged() override;
  void OnStopAsked(const Caller& caller) override;

  absl::StatusOr<PoolRunner*> FindPool(const std::string& name) const;
  // "pools/web/workers/3" and what is below it: the worker, if it runs.
  absl::StatusOr<SupervisedWorker*> FindWorker(const std::string& name) const;
  absl::StatusOr<std::vector<SupervisedWorker*>> WorkersOf(const std::string& parent) const;
  void AskWorker(const std::string& request, worker::v1::ToWorker message,
                 std::function<void(absl::StatusOr<worker::v1::FromWorker>)> done);

  // `touched`: over the API, so that it is kept.
  absl::StatusOr<v1::Operation> Create(v1::Pool pool, bool touched, const Caller& caller);
  absl::StatusOr<v1::Operation> Change(PoolRunner* runner, v1::Pool to, const v1::Canary* canary, bool touched,
                                       const Caller& caller);
  // As the configuration file says, unless it was changed over the API.
  absl::Status AsInFile(const v1::Pool& pool, const Caller& caller);
  absl::StatusOr<v1::Operation> Delete(PoolRunner* runner, bool touched, const Caller& caller);
  absl::Status CheckTogether(const v1::Pool& changed) const;
  absl::Status CheckBeside(const v1::Pool& changed, const std::function<v1::Pool(const PoolRunner&)>& other) const;
  // That `changed` and those with which it shares an address have inboxes.
  absl::Status MakeInboxes(const v1::Pool& changed);
  // With `instead` in place of what that pool is now; null: as they are.
  absl::Status Save(const v1::Pool* instead);
  void KeepWhatHolds(PoolRunner* runner);
  void Warn(const std::string& resource, const std::string& what);
  // Nothing is left of it but its place in the list, until the next sweep: nobody is to find it.
  static bool IsDeleted(const PoolRunner& runner) { return runner.deleting() && runner.IsGone(); }
  void SweepLater();
  void Sweep();
  void Publish(const std::function<void(Observer*)>& tell);
  PoolRunner::Environment RunnerEnvironment();

  const Environment environment_;
  const v1::Server* const server_;
  Host* const host_;
  std::mt19937_64 random_;
  std::vector<Observer*> observers_;
  EventLog events_;
  Operations operations_;
  DesiredState state_;
  Inboxes inboxes_;
  std::map<std::string, std::unique_ptr<PoolRunner>> runners_;
  std::unique_ptr<Timers::Timer> sweep_;
  std::unique_ptr<Timers::Timer> stop_;  // that a worker has asked for
  bool begun_ = false;                   // all pools are there
  bool stopping_ = false;
  bool stopped_ = false;
};

}  // namespace greenring::control
