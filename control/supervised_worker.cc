#include "control/supervised_worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "google/protobuf/util/time_util.h"

namespace greenring::control {
namespace {

using google::protobuf::util::TimeUtil;

// How long a worker may take to answer what it answers at once. One whose interpreter is stuck is asked again.
constexpr int64_t kApplyTimeoutNs = 10 * kNanosecondsPerSecond;
constexpr int64_t kApplyRetryNs = kNanosecondsPerSecond;
// How long it may take to accept what waits in sockets that nothing is sent to any more.
constexpr int64_t kLeaveTimeoutNs = 5 * kNanosecondsPerSecond;
// What a worker gets beyond the drain's own timeout and grace, for its clean-up, before it is killed.
constexpr int64_t kDrainMarginNs = 5 * kNanosecondsPerSecond;

std::string Seconds(int64_t duration_ns) {
  return absl::StrCat(static_cast<double>(duration_ns) / kNanosecondsPerSecond, " s");
}

v1::Worker::State ToProto(SupervisedWorker::State state) {
  switch (state) {
    case SupervisedWorker::State::kStarting:
      return v1::Worker::STARTING;
    case SupervisedWorker::State::kReady:
      return v1::Worker::READY;
    case SupervisedWorker::State::kLeaving:
    case SupervisedWorker::State::kDraining:
      return v1::Worker::DRAINING;
    case SupervisedWorker::State::kEnded:
      return v1::Worker::ENDED;
  }
  return v1::Worker::STATE_UNSPECIFIED;
}

}  // namespace

SupervisedWorker::SupervisedWorker(const Environment& environment, Identity identity, v1::Pool pool, Owner* owner)
    : environment_(environment),
      identity_(std::move(identity)),
      owner_(owner),
      pool_(std::move(pool)),
      agreed_generation_(pool_.generation()) {}

absl::Status SupervisedWorker::Start(const std::vector<Socket>& sockets, const WorkerRoutes& routes,
                                     std::vector<int> cpus) {
  WorkerStart start;
  start.start.set_worker(identity_.name);
  start.start.set_slot(identity_.slot);
  *start.start.mutable_pool() = pool_;
  for (const Socket& socket : sockets) {
    auto* listening = start.start.add_sockets();
    listening->set_address(socket.address);
    listening->set_protocol(socket.protocol);
    start.sockets.push_back(socket.fd);
    addresses_.push_back(socket.address);
  }
  *start.start.mutable_routes() = routes.message;
  start.routes = routes.descriptors;
  start.cpus = cpus;
  cpus_ = std::move(cpus);
  start_time_ = environment_.timers->WallTime();
  absl::StatusOr<std::unique_ptr<WorkerHandle>> handle = environment_.factory->Start(start, this);
  if (!handle.ok()) {
    state_ = State::kEnded;
    end_ = End::kStartFailed;
    end_time_ = start_time_;
    end_reason_ = std::string(handle.status().message());
    TellOfEnd();
    return handle.status();
  }
  handle_ = *std::move(handle);
  pid_ = handle_->pid();
  environment_.events->Add(v1::Event::WORKER_STARTED, v1::Event::INFO, name(),
                           absl::StrCat("process ", pid_, ", slot ", identity_.slot));
  const int64_t timeout_ns = TimeUtil::DurationToNanoseconds(pool_.timeouts().start());
  if (timeout_ns > 0) KillAfter(timeout_ns, absl::StrCat("killed: it was not ready within ", Seconds(timeout_ns)));
  return absl::OkStatus();
}

void SupervisedWorker::Apply(const v1::Pool& pool, int canary_percent) {
  if (!IsLive()) return;
  pool_ = pool;
  canary_percent_ = canary_percent;
  if (state_ == State::kReady) SendApply();
}

void SupervisedWorker::SetRoutes(const WorkerRoutes& routes) {
  if (state_ == State::kEnded) return;
  routes_ = routes;
  routes_wait_ = true;
  if (state_ != State::kStarting) SendRoutes();
}

void SupervisedWorker::SendRoutes() {
  if (!std::exchange(routes_wait_, false)) return;
  worker::v1::ToWorker message;
  *message.mutable_routes() = std::move(routes_.message);
  handle_->Tell(std::move(message), std::exchange(routes_.descriptors, {}));
}

void SupervisedWorker::SendApply() {
  apply_timer_.reset();
  if (state_ != State::kReady) return;
  worker::v1::ToWorker message;
  *message.mutable_apply()->mutable_pool() = pool_;
  message.mutable_apply()->set_canary_percent(canary_percent_);
  // The handle calls back, if only to say that the worker has ended, before it is gone; and it goes first.
  handle_->Ask(std::move(message), kApplyTimeoutNs,
               [this, generation = pool_.generation(), attempt = ++apply_attempt_](
                   const absl::StatusOr<worker::v1::FromWorker>& answer) { OnApplied(generation, attempt, answer); });
}

void SupervisedWorker::OnApplied(int64_t generation, int64_t attempt,
                                 const absl::StatusOr<worker::v1::FromWorker>& answer) {
  if (attempt != apply_attempt_ || state_ != State::kReady) return;  // it has been told something else since
  if (!answer.ok()) {
    // It does not turn now, and shall do what it is told when it does again. (Its end stops this.)
    apply_timer_ = environment_.timers->After(kApplyRetryNs, [this] { SendApply(); });
    return;
  }
  if (answer->has_refused()) return owner_->OnApplyRefused(this, generation, answer->refused().message());
  agreed_generation_ = generation;
  owner_->OnWorkerChanged(this);
}

void SupervisedWorker::Leave(const std::string& reason) {
  GREENRING_CHECK(state_ == State::kReady);
  state_ = State::kLeaving;
  apply_timer_.reset();
  leave_reason_ = reason;
  worker::v1::ToWorker message;
  message.mutable_stop_accepting();
  for (const std::string& address : addresses_) {
    // A unix socket is others' too, who take what waits there; it may never be empty.
    if (!absl::StartsWith(address, "unix:")) message.mutable_stop_accepting()->add_addresses(address);
  }
  handle_->Ask(std::move(message), kLeaveTimeoutNs, [this](const absl::StatusOr<worker::v1::FromWorker>&) {
    if (state_ != State::kLeaving) return;
    BeginDraining(leave_reason_);
    owner_->OnWorkerChanged(this);
  });
}

void SupervisedWorker::Drain(const std::string& reason) {
  GREENRING_CHECK(state_ == State::kReady || state_ == State::kLeaving);
  BeginDraining(reason);
}

void SupervisedWorker::BeginDraining(const std::string& reason) {
  state_ = State::kDraining;
  apply_timer_.reset();
  asked_to_end_ = true;
  leave_reason_ = reason;
  const int64_t timeout_ns = TimeUtil::DurationToNanoseconds(pool_.timeouts().drain());
  worker::v1::ToWorker message;
  message.mutable_drain()->set_reason(reason);
  message.mutable_drain()->set_timeout_ns(timeout_ns);
  handle_->Tell(std::move(message), {});
  const int64_t patience_ns =
      timeout_ns + TimeUtil::DurationToNanoseconds(pool_.timeouts().request_grace()) + kDrainMarginNs;
  KillAfter(patience_ns, absl::StrCat("killed: it did not end within ", Seconds(patience_ns), " of its drain"));
  environment_.events->Add(v1::Event::WORKER_DRAINING, v1::Event::INFO, name(), reason);
}

void SupervisedWorker::Kill(const std::string& reason) {
  if (state_ == State::kEnded) return;
  if (!reason.empty()) {
    asked_to_end_ = true;
    kill_reason_ = reason;
  }
  handle_->Kill();
}

void SupervisedWorker::KillAfter(int64_t delay_ns, std::string reason) {
  timer_ = environment_.timers->After(delay_ns, [this, reason = std::move(reason)] {
    kill_reason_ = reason;
    handle_->Kill();
  });
}

bool SupervisedWorker::Runs(int64_t generation) const {
  return state_ == State::kReady && agreed_generation_ >= generation && OldestGeneration() >= generation;
}

int64_t SupervisedWorker::OldestGeneration() const {
  int64_t oldest = agreed_generation_;
  for (const v1::GenerationStatus& status : observed_.generations()) {
    if (status.cores() > 0) oldest = std::min(oldest, status.generation());
  }
  return oldest;
}

int64_t SupervisedWorker::NewestGeneration() const {
  int64_t newest = agreed_generation_;
  for (const v1::GenerationStatus& status : observed_.generations()) newest = std::max(newest, status.generation());
  return newest;
}

std::vector<v1::GenerationStatus> SupervisedWorker::Generations() const {
  std::vector<v1::GenerationStatus> generations(observed_.generations().begin(), observed_.generations().end());
  std::sort(generations.begin(), generations.end(),
            [](const auto& left, const auto& right) { return left.generation() > right.generation(); });
  if (generations.empty()) generations.emplace_back().set_generation(agreed_generation_);
  for (v1::GenerationStatus& status : generations) status.set_workers(0);
  generations.front().set_workers(1);
  return generations;
}

v1::Worker SupervisedWorker::Describe() const {
  v1::Worker worker;
  worker.set_name(identity_.name);
  worker.set_slot(identity_.slot);
  worker.set_pid(pid_);
  worker.set_state(ToProto(state_));
  *worker.mutable_start_time() = start_time_;
  if (was_ready_) *worker.mutable_ready_time() = ready_time_;
  worker.set_generation(NewestGeneration());
  for (v1::GenerationStatus& status : Generations()) *worker.add_generations() = std::move(status);
  worker.mutable_cpus()->Add(cpus_.begin(), cpus_.end());
  *worker.mutable_statistics() = report_.statistics();
  if (state_ == State::kEnded) {
    *worker.mutable_end_time() = end_time_;
    worker.set_end_reason(end_reason_);
    worker.set_end_dump(end_dump_);
  }
  return worker;
}

void SupervisedWorker::OnReady(const worker::v1::FromWorker::Ready& ready) {
  // What it says while it is being killed is of no interest.
  if (state_ != State::kStarting || asked_to_end_ || !kill_reason_.empty()) return;
  state_ = State::kReady;
  timer_.reset();
  was_ready_ = true;
  python_version_ = ready.python_version();
  ready_time_ = environment_.timers->WallTime();
  ready_since_ns_ = environment_.timers->NowNs();
  environment_.events->Add(v1::Event::WORKER_READY, v1::Event::INFO, name(), ready.description());
  SendRoutes();
  if (pool_.generation() != agreed_generation_) SendApply();
  owner_->OnWorkerReady(this);
}

void SupervisedWorker::OnStartFailed(const worker::v1::FromWorker::StartFailed& failed) {
  if (state_ == State::kStarting) start_failed_ = std::make_unique<worker::v1::FromWorker::StartFailed>(failed);
}

void SupervisedWorker::OnObserved(const worker::v1::FromWorker::Observed& observed) {
  observed_ = observed;
  owner_->OnWorkerChanged(this);
}

void SupervisedWorker::OnReport(const worker::v1::FromWorker::Report& report) {
  report_ = report;
  owner_->OnWorkerChanged(this);
}

void SupervisedWorker::OnUnfit(const worker::v1::FromWorker::Unfit& unfit) {
  if (state_ != State::kReady) return;
  environment_.events->Add(v1::Event::WORKER_UNFIT, unfit.draining() ? v1::Event::WARNING : v1::Event::INFO, name(),
                           unfit.reason());
  unfit_reason_ = unfit.reason().empty() ? "it is unfit" : unfit.reason();
  if (unfit.draining()) {
    state_ = State::kDraining;
    ends_by_itself_ = true;
    leave_reason_ = unfit_reason_;
    const int64_t patience_ns = TimeUtil::DurationToNanoseconds(pool_.timeouts().drain()) +
                                TimeUtil::DurationToNanoseconds(pool_.timeouts().request_grace()) + kDrainMarginNs;
    KillAfter(patience_ns, absl::StrCat("killed: it did not end within ", Seconds(patience_ns), " of its drain"));
  }
  owner_->OnWorkerChanged(this);
}

// A worker drains by itself only after Unfit, or because somebody sent it SIGTERM.
void SupervisedWorker::OnDraining(const worker::v1::FromWorker::Draining&) {
  if (state_ != State::kReady) return;
  state_ = State::kDraining;
  ends_by_itself_ = true;
  leave_reason_ = "it drained by itself";
  owner_->OnWorkerChanged(this);
}

void SupervisedWorker::OnEnded(const WorkerEnd& end) {
  end_ = JudgeEnd(end);
  state_ = State::kEnded;
  timer_.reset();
  apply_timer_.reset();
  end_time_ = environment_.timers->WallTime();
  if (!kill_reason_.empty()) {
    end_reason_ = kill_reason_;
  } else if (start_failed_ != nullptr) {
    end_reason_ = start_failed_->message();
  } else if (end.wait_status == 0 && !leave_reason_.empty()) {
    end_reason_ = leave_reason_;
  } else {
    end_reason_ = end.reason;
  }
  if (end_ != End::kAsAsked || end.wait_status != 0) end_dump_ = end.last_stderr;
  TellOfEnd();
  owner_->OnWorkerEnded(this);
}

SupervisedWorker::End SupervisedWorker::JudgeEnd(const WorkerEnd& end) const {
  if (asked_to_end_ && (end.wait_status == 0 || !kill_reason_.empty())) return End::kAsAsked;
  if (ends_by_itself_) return End::kByItself;
  if (was_ready_) return End::kDied;
  return start_failed_ != nullptr && start_failed_->configuration() ? End::kStartFailedConfiguration
                                                                    : End::kStartFailed;
}

void SupervisedWorker::TellOfEnd() {
  switch (end_) {
    case End::kAsAsked:
    case End::kByItself:
      return environment_.events->Add(v1::Event::WORKER_ENDED, v1::Event::INFO, name(), end_reason_);
    case End::kDied:
      return environment_.events->Add(v1::Event::WORKER_DIED, v1::Event::ERROR, name(), end_reason_);
    case End::kStartFailed:
    case End::kStartFailedConfiguration:
      return environment_.events->Add(v1::Event::WORKER_START_FAILED, v1::Event::ERROR, name(), end_reason_);
  }
}

}  // namespace greenring::control
