// A server that exists only in memory: pools, workers and requests that tests make up, and operations that take a step
// whenever they are told to. For tests of the services and of greenctl.
//
//   FakeControlPlane plane;                       // pools/api and pools/web, two workers each, four requests in flight
//   plane.ReloadPool("pools/web", {"a test"});    // an operation of one step a worker
//   plane.StepOperations();
//
// It checks little: what a pool may be told is pool_config.h's. On the reactor's thread only, as every ControlPlane.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/control_plane.h"

namespace greenring::control {

class FakeControlPlane final : public ControlPlane {
 public:
  explicit FakeControlPlane(std::function<absl::Time()> now = [] { return absl::Now(); });

  // ---- for the test ----

  // A pool that is READY, with as many workers as it asks for (one if it does not say). Output-only fields are filled
  // in.
  void AddPool(v1::Pool pool);
  // One more request in flight; `request` needs the name only.
  void AddRequest(v1::Request request);

  // The pool as it is kept, to be changed; it must exist.
  v1::Pool* pool(const std::string& name) { return &pools_.at(name); }
  // What ListStatistics says of it in total.
  v1::Statistics* statistics(const std::string& pool) { return &statistics_[pool]; }

  // Every operation under way does one more worker; those with no worker left are done, and what they bring about
  // holds.
  void StepOperations();
  // The operation ends, with this error.
  void FailOperation(const std::string& name, const absl::Status& error);

  void Emit(v1::Event event);
  // An event of a request that has ended, or anything else that only has to be one more.
  void EmitEvents(int count);

  // Answers to ListRequests, GetStack and CancelRequest wait until `hold` is false again, as if workers took long.
  void HoldAnswers(bool hold);
  size_t answers_held() const { return held_.size(); }

  // What each change was asked by, oldest first: "ReloadPool pools/web: uid 0 (root), pid 12".
  const std::vector<std::string>& changes() const { return changes_; }
  size_t observer_count() const { return observers_.size(); }

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
  std::vector<v1::Operation> ListOperations() override;
  absl::StatusOr<v1::Operation> GetOperation(const std::string& name) override;
  absl::StatusOr<v1::Operation> CancelOperation(const std::string& name, const Caller& caller) override;
  v1::Server GetServer() override;
  std::vector<v1::PoolStatistics> ListStatistics(const std::vector<std::string>& pools) override;
  void AddObserver(Observer* observer) override { observers_.insert(observer); }
  void RemoveObserver(Observer* observer) override { observers_.erase(observer); }
  std::vector<v1::Event> EventsAfter(int64_t id) override;

 private:
  struct RunningOperation {
    v1::Operation operation;
    std::function<void()> effect;  // once it is done
  };

  // Whether `name` is `parent` or below it, in which "-" stands for any segment: "pools/-/workers/-".
  static bool IsWithin(const std::string& name, const std::string& parent);

  void AddWorkers(const v1::Pool& pool);
  v1::Operation Begin(const std::string& verb, const std::string& target, const Caller& caller, int steps,
                      std::function<void()> effect);
  absl::StatusOr<v1::Operation> BeginOnPool(const std::string& verb, const std::string& name, const Caller& caller,
                                            std::function<void()> effect);
  void Tell(const v1::Operation& operation);
  void End(RunningOperation* running);
  void EmitFor(v1::Event::Kind kind, const std::string& resource, const std::string& message);
  void Settle(const std::string& pool);
  void Answer(std::function<void()> answer);
  void FillTime(google::protobuf::Timestamp* timestamp);

  const std::function<absl::Time()> now_;
  const absl::Time start_;
  std::map<std::string, v1::Pool> pools_;
  std::vector<v1::Worker> workers_;  // by pool and number
  std::vector<v1::Request> requests_;
  std::map<std::string, v1::Statistics> statistics_;
  std::vector<RunningOperation> operations_;  // oldest first
  std::vector<v1::Event> events_;
  std::set<Observer*> observers_;
  std::vector<std::string> changes_;
  bool hold_ = false;
  std::vector<std::function<void()>> held_;
  int next_pid_ = 4711;
};

}  // namespace greenring::control
