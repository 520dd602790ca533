#include "control/fake_worker.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "proto/histogram.h"

namespace greenring::control {

FakeWorker::FakeWorker(FakeWorkerFactory* factory, const WorkerStart& start, Plan plan, int pid, Observer* observer)
    : factory_(factory),
      name_(start.start.worker()),
      slot_(start.start.slot()),
      started_with_(start.start.pool()),
      plan_(std::move(plan)),
      pid_(pid),
      sockets_(start.sockets),
      observer_(observer),
      pool_(started_with_),
      routes_({start.start.routes(), start.routes}) {
  factory_->live[name_] = this;
  Later(plan_.ready_after_ns, [this] {
    if (!plan_.start_error.empty()) {
      worker::v1::FromWorker::StartFailed failed;
      failed.set_message(plan_.start_error);
      failed.set_configuration(plan_.configuration);
      observer_->OnStartFailed(failed);
      return End(1 << 8, "exit status 1", plan_.start_error);
    }
    ready_ = true;
    observer_->OnReady({});
    Observe();
  });
}

FakeWorker::~FakeWorker() {
  const auto found = factory_->live.find(name_);
  if (found != factory_->live.end() && found->second == this) factory_->live.erase(found);
}

void FakeWorker::Later(int64_t delay_ns, std::function<void()> function) {
  if (delay_ns == kNeverNs) return;
  timers_.push_back(factory_->timers->After(delay_ns, std::move(function)));
}

void FakeWorker::Ask(worker::v1::ToWorker message, int64_t timeout_ns,
                     std::function<void(absl::StatusOr<worker::v1::FromWorker>)> done) {
  const int64_t id = ++last_question_;
  if (message.has_apply()) told_.push_back("apply");
  if (message.has_stop_accepting()) told_.push_back("stop accepting");
  questions_[id] = std::move(done);
  const bool answers = plan_.answers_after_ns <= timeout_ns;
  Later(answers ? plan_.answers_after_ns : timeout_ns, [this, id, answers, message = std::move(message)] {
    const auto question = questions_.extract(id);
    if (question.empty() || !question.mapped()) return;
    if (answers) return question.mapped()(Answer(message));
    question.mapped()(absl::DeadlineExceededError("the worker did not answer"));
  });
}

worker::v1::FromWorker FakeWorker::Answer(const worker::v1::ToWorker& message) {
  worker::v1::FromWorker answer;
  if (message.has_apply()) {
    if (!plan_.refuses_apply.empty()) {
      answer.mutable_refused()->set_message(plan_.refuses_apply);
      return answer;
    }
    pool_ = message.apply().pool();
    canary_percent_ = message.apply().canary_percent();
    answer.mutable_applied();
    Later(plan_.cores_change_after_ns, [this] { Observe(); });
  } else if (message.has_stop_accepting()) {
    stopped_accepting_ = true;
    answer.mutable_stopped();
  } else if (message.has_list_requests()) {
    for (const v1::Request& request : plan_.requests) *answer.mutable_request_list()->add_requests() = request;
  } else if (message.has_get_stack()) {
    answer.mutable_stack_text()->set_python("the stack");
  } else if (message.has_cancel_request()) {
    answer.mutable_cancelled();
  } else if (message.has_uwsgi_signal()) {
    uwsgi_signals_.push_back(message.uwsgi_signal().signal());
    answer.mutable_signal_taken();
  }
  return answer;
}

// With a canary the other cores are of the generation that it started with.
void FakeWorker::Observe() {
  worker::v1::FromWorker::Observed observed;
  const int changed = canary_percent_ == 0 ? plan_.cores : (plan_.cores * canary_percent_ + 99) / 100;
  v1::GenerationStatus* newest = observed.add_generations();
  newest->set_generation(pool_.generation());
  newest->set_cores(changed);
  if (changed < plan_.cores) {
    v1::GenerationStatus* others = observed.add_generations();
    others->set_generation(started_with_.generation());
    others->set_cores(plan_.cores - changed);
  }
  observer_->OnObserved(observed);
}

void FakeWorker::Tell(worker::v1::ToWorker message, std::vector<SharedFd> descriptors) {
  if (message.has_routes()) {
    told_.push_back("routes");
    routes_ = {message.routes(), std::move(descriptors)};
  }
  if (message.has_uwsgi_answer()) uwsgi_answers_[message.answer_to()] = message.uwsgi_answer();
  if (!message.has_drain() || draining_) return;
  told_.push_back("drain");
  draining_ = true;
  Later(plan_.drain_takes_ns, [this] { End(0, "exit status 0", ""); });
}

void FakeWorker::Die(int signal) {
  Later(0, [this, signal] { End(signal, absl::StrCat("signal ", signal), "last words"); });
}

void FakeWorker::Exit(int status, const std::string& last_stderr) {
  Later(0, [this, status, last_stderr] { End(status << 8, absl::StrCat("exit status ", status), last_stderr); });
}

void FakeWorker::Unfit(const std::string& reason, bool draining) {
  worker::v1::FromWorker::Unfit unfit;
  unfit.set_reason(reason);
  unfit.set_draining(draining);
  if (draining) {
    draining_ = true;
    Later(plan_.drain_takes_ns, [this] { End(3 << 8, "exit status 3", ""); });
  }
  observer_->OnUnfit(unfit);
}

void FakeWorker::Serve(int64_t generation, int requests, int errors, int64_t run_time_ns) {
  v1::GenerationStatistics* statistics = nullptr;
  for (v1::GenerationStatistics& one : *report_.mutable_generations()) {
    if (one.generation() == generation) statistics = &one;
  }
  if (statistics == nullptr) statistics = report_.add_generations();
  statistics->set_generation(generation);
  statistics->set_requests(statistics->requests() + requests);
  statistics->set_errors(statistics->errors() + errors);
  Histogram histogram;
  for (int i = 0; i < requests; ++i) histogram.Record(run_time_ns);
  v1::Histogram message;
  proto::ToProto(histogram, &message);
  proto::AddTo(statistics->mutable_run_time(), message);
  report_.mutable_statistics()->set_requests(report_.statistics().requests() + requests);
  report_.mutable_statistics()->set_connections(1);
}

void FakeWorker::End(int wait_status, std::string reason, std::string last_stderr) {
  if (std::exchange(ending_, true)) return;
  ready_ = false;
  factory_->live.erase(name_);
  for (auto& [id, done] : std::exchange(questions_, {})) {
    if (done) done(absl::UnavailableError("the worker has ended"));
  }
  observer_->OnEnded({.wait_status = wait_status, .reason = std::move(reason), .last_stderr = std::move(last_stderr)});
}

absl::StatusOr<std::unique_ptr<WorkerHandle>> FakeWorkerFactory::Start(const WorkerStart& start,
                                                                       WorkerHandle::Observer* observer) {
  if (!start_status.ok()) return start_status;
  ++started;
  return std::make_unique<FakeWorker>(this, start, plan(start), 1000 + started, observer);
}

FakeWorker* FakeWorkerFactory::Find(const std::string& name) const {
  const auto found = live.find(name);
  return found == live.end() ? nullptr : found->second;
}

std::vector<FakeWorker*> FakeWorkerFactory::InSlot(int slot) const {
  std::vector<FakeWorker*> result;
  for (const auto& [name, worker] : live) {
    if (worker->slot() == slot) result.push_back(worker);
  }
  return result;
}

int FakeWorkerFactory::CountAccepting(int slot) const {
  int count = 0;
  for (const FakeWorker* worker : InSlot(slot)) count += worker->accepts() ? 1 : 0;
  return count;
}

absl::Status FakeListeningSockets::Bind(const std::string& owner, const std::vector<v1::Listener>& listeners,
                                        int slots) {
  if (!bind_status.ok()) return bind_status;
  bound[owner] = listeners;
  slots_of[owner] = slots;
  return absl::OkStatus();
}

std::vector<ListeningSockets::Bound> FakeListeningSockets::Of(const std::string& owner, int slot) const {
  std::vector<Bound> result;
  const auto found = bound.find(owner);
  if (found == bound.end() || slot > slots_of.at(owner)) return result;
  for (size_t i = 0; i < found->second.size(); ++i) {
    const v1::Listener& listener = found->second[i];
    result.push_back({100 * slot + static_cast<int>(i), listener.address(), listener.protocol()});
  }
  return result;
}

void FakeListeningSockets::SetActiveSlots(const std::string& owner, const std::vector<int>& slots,
                                          Readiness readiness) {
  active[owner] = slots;
  readiness_of[owner] = readiness;
}

bool FakeListeningSockets::IsShared(const std::string& owner) const {
  const auto mine = bound.find(owner);
  if (mine == bound.end()) return false;
  for (const auto& [other, listeners] : bound) {
    for (const v1::Listener& listener : listeners) {
      const bool same = std::any_of(mine->second.begin(), mine->second.end(),
                                    [&](const v1::Listener& one) { return one.address() == listener.address(); });
      if (other != owner && same) return true;
    }
  }
  return false;
}

void FakeListeningSockets::Close(const std::string& owner) {
  bound.erase(owner);
  slots_of.erase(owner);
  active.erase(owner);
  readiness_of.erase(owner);
}

}  // namespace greenring::control
