// Workers without processes: they do what the test's plan says, in simulated time.
//
//   SimTimers timers;
//   FakeWorkerFactory factory(&timers);
//   factory.plan = [](const WorkerStart& start) { return FakeWorkerFactory::Plan{.ready_after_ns = 1000}; };
//   ...
//   factory.Find("pools/web/workers/1")->Die(SIGKILL);
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/listening_sockets.h"
#include "control/sim_timers.h"
#include "control/worker_handle.h"

namespace greenring::control {

class FakeWorkerFactory;

class FakeWorker final : public WorkerHandle {
 public:
  struct Plan {
    int64_t ready_after_ns = 1'000'000;  // kNeverNs: never
    std::string start_error = {};        // it fails instead of being ready
    bool configuration = false;          // and says that this is to blame
    int64_t drain_takes_ns = 1'000'000;
    int64_t answers_after_ns = 1000;       // kNeverNs: to nothing
    int64_t cores_change_after_ns = 2000;  // after it has answered Apply: its cores take that long
    int cores = 8;
    std::string refuses_apply = {};          // says so
    std::vector<v1::Request> requests = {};  // in flight
  };

  FakeWorker(FakeWorkerFactory* factory, const WorkerStart& start, Plan plan, int pid, Observer* observer);
  ~FakeWorker() override;

  int pid() const override { return pid_; }
  void Ask(worker::v1::ToWorker message, int64_t timeout_ns,
           std::function<void(absl::StatusOr<worker::v1::FromWorker>)> done) override;
  void Tell(worker::v1::ToWorker message, std::vector<SharedFd> descriptors) override;
  void Kill() override { Die(9); }

  // What the world does to it. They happen at once, but for the end, which comes at the next turn.
  void Die(int signal);
  void Exit(int status, const std::string& last_stderr = "");
  void Unfit(const std::string& reason, bool draining);
  // Counts so many more requests of `generation`.
  void Serve(int64_t generation, int requests, int errors, int64_t run_time_ns);
  void SendReport() { observer_->OnReport(report_); }
  // As its module `uwsgi`. The answer is in uwsgi_answers, by `id`.
  void CallUwsgi(int64_t id, const worker::v1::UwsgiCall& call) { observer_->OnUwsgiCall(id, call); }

  const std::string& name() const { return name_; }
  int slot() const { return slot_; }
  const v1::Pool& started_with() const { return started_with_; }
  const v1::Pool& pool() const { return pool_; }  // that it was told last
  int canary_percent() const { return canary_percent_; }
  const std::vector<int>& sockets() const { return sockets_; }
  const WorkerRoutes& routes() const { return routes_; }          // that it was told last
  const std::vector<std::string>& told() const { return told_; }  // what was said to it, in order: "routes", "apply"
  bool ready() const { return ready_; }
  bool draining() const { return draining_; }
  bool accepts() const { return ready_ && !draining_ && !stopped_accepting_; }
  Plan& plan() { return plan_; }
  const std::map<int64_t, worker::v1::UwsgiAnswer>& uwsgi_answers() const { return uwsgi_answers_; }
  const std::vector<int>& uwsgi_signals() const { return uwsgi_signals_; }

 private:
  void Later(int64_t delay_ns, std::function<void()> function);
  void Observe();
  void End(int wait_status, std::string reason, std::string last_stderr);
  worker::v1::FromWorker Answer(const worker::v1::ToWorker& message);

  FakeWorkerFactory* const factory_;
  const std::string name_;
  const int slot_;
  const v1::Pool started_with_;
  Plan plan_;
  const int pid_;
  const std::vector<int> sockets_;
  Observer* const observer_;
  v1::Pool pool_;
  WorkerRoutes routes_;
  std::vector<std::string> told_;
  int canary_percent_ = 0;
  bool ready_ = false;
  bool draining_ = false;
  bool stopped_accepting_ = false;
  bool ending_ = false;
  worker::v1::FromWorker::Report report_;
  std::map<int64_t, std::function<void(absl::StatusOr<worker::v1::FromWorker>)>> questions_;
  int64_t last_question_ = 0;
  std::map<int64_t, worker::v1::UwsgiAnswer> uwsgi_answers_;
  std::vector<int> uwsgi_signals_;
  std::vector<std::unique_ptr<Timers::Timer>> timers_;
};

class FakeWorkerFactory final : public WorkerFactory {
 public:
  using Plan = FakeWorker::Plan;

  explicit FakeWorkerFactory(SimTimers* sim_timers) : timers(sim_timers) {}

  absl::StatusOr<std::unique_ptr<WorkerHandle>> Start(const WorkerStart& start,
                                                      WorkerHandle::Observer* observer) override;

  // Null when there is none that runs.
  FakeWorker* Find(const std::string& name) const;
  std::vector<FakeWorker*> InSlot(int slot) const;
  int CountAccepting(int slot) const;

  SimTimers* const timers;
  std::function<Plan(const WorkerStart&)> plan = [](const WorkerStart&) { return Plan(); };
  absl::Status start_status;  // what Start says
  int started = 0;
  std::map<std::string, FakeWorker*> live;
};

// Listening sockets without sockets. The descriptor of listener i in slot s is 100 * s + i.
class FakeListeningSockets final : public ListeningSockets {
 public:
  absl::Status Bind(const std::string& owner, const std::vector<v1::Listener>& listeners, int slots) override;
  std::vector<Bound> Of(const std::string& owner, int slot) const override;
  void SetActiveSlots(const std::string& owner, const std::vector<int>& slots, Readiness readiness) override;
  bool IsShared(const std::string& owner) const override;
  void Close(const std::string& owner) override;

  absl::Status bind_status;  // what Bind says
  std::map<std::string, std::vector<v1::Listener>> bound;
  std::map<std::string, int> slots_of;
  std::map<std::string, std::vector<int>> active;
  std::map<std::string, Readiness> readiness_of;
};

}  // namespace greenring::control
