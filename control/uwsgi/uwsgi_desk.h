// Answers what the workers of one pool ask of the master through their module `uwsgi`: signals, locks, and the pool.
//
//   UwsgiDesk desk({.timers = timers, .events = &events, .pool = "pools/web", .workers = &workers}, host);
//   desk.OnCall(worker, id, call);                  // answered with Tell, in it or later
//   desk.OnWorkerReady(*worker);
//   desk.OnWorkerEnded(*worker);                    // it holds no lock any more, and waits for none
//
// docs/UWSGI_SIGNALS.md says what holds across the workers of a pool. On the reactor's thread only; nothing blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/lock_table.h"
#include "control/caller.h"
#include "control/event_log.h"
#include "control/timers.h"
#include "control/uwsgi/signal_board.h"
#include "control/worker_set.h"
#include "greenring/worker/v1/uwsgi.pb.h"

namespace greenring::control {

class UwsgiDesk final : private SignalBoard::Host {
 public:
  class Host {
   public:
    // Begins one, or says why it cannot. It may change the set of workers, but not delete the one that asks.
    virtual absl::Status ReloadPool(const Caller& caller) = 0;
    virtual void StopServer(const Caller& caller) = 0;

   protected:
    ~Host() = default;
  };

  struct Environment {
    Timers* timers;
    EventLog* events;
    std::string pool;
    WorkerSet* workers;  // outlives it
  };

  static constexpr int kLocks = 256;

  UwsgiDesk(Environment environment, Host* host)
      : environment_(std::move(environment)), host_(host), board_(environment_.timers, this) {}
  UwsgiDesk(const UwsgiDesk&) = delete;
  UwsgiDesk& operator=(const UwsgiDesk&) = delete;

  void OnCall(SupervisedWorker* worker, int64_t id, const worker::v1::UwsgiCall& call);
  void OnWorkerReady(const SupervisedWorker& worker);
  void OnWorkerEnded(const SupervisedWorker& worker);

 private:
  using WorkerNumber = SignalBoard::WorkerNumber;

  std::vector<SignalBoard::ReadyWorker> ReadyWorkers() override;
  void Deliver(WorkerNumber worker, int signal, std::function<void(bool taken)> done) override;
  void Warn(const std::string& what) override;

  // What can be answered at once: all but Lock.
  absl::Status Handle(const SupervisedWorker& worker, const worker::v1::UwsgiCall& call,
                      worker::v1::UwsgiAnswer* answer);
  absl::Status HandleLock(WorkerNumber number, const worker::v1::UwsgiCall& call, worker::v1::UwsgiAnswer* answer);
  absl::Status HandleSignal(WorkerNumber number, const worker::v1::UwsgiCall& call, worker::v1::UwsgiAnswer* answer);
  void Describe(worker::v1::UwsgiAnswer* answer) const;
  void Answer(WorkerNumber number, int64_t id, worker::v1::UwsgiAnswer answer);
  SupervisedWorker* Find(WorkerNumber number) const;

  const Environment environment_;
  Host* const host_;
  SignalBoard board_;
  LockTable locks_;
  std::map<int, int64_t> starts_;  // by slot: workers that became ready there
};

}  // namespace greenring::control
