#include "control/uwsgi/uwsgi_desk.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "greenring/worker/v1/link.pb.h"

namespace greenring::control {
namespace {

using worker::v1::UwsgiAnswer;
using worker::v1::UwsgiCall;

// A worker whose loop turns takes a signal at once; one that has not within this time is tried again with the next.
constexpr int64_t kTakeTimeoutNs = 60 * kNanosecondsPerSecond;

}  // namespace

void UwsgiDesk::OnCall(SupervisedWorker* worker, int64_t id, const UwsgiCall& call) {
  const WorkerNumber number = worker->identity().number;
  const int lock = call.lock().lock();
  if (call.has_lock() && lock >= 0 && lock < kLocks) {
    return locks_.Lock(lock, number, [this, number, id] { Answer(number, id, UwsgiAnswer()); });
  }
  UwsgiAnswer answer;
  const absl::Status status = Handle(*worker, call, &answer);
  answer.set_code(static_cast<int>(status.code()));
  answer.set_message(std::string(status.message()));
  Answer(number, id, std::move(answer));
}

void UwsgiDesk::OnWorkerReady(const SupervisedWorker& worker) {
  ++starts_[worker.identity().slot];
  board_.OnWorkerReady(worker.identity().number);
}

void UwsgiDesk::OnWorkerEnded(const SupervisedWorker& worker) {
  board_.OnWorkerEnded(worker.identity().number);
  locks_.Drop(worker.identity().number);
}

absl::Status UwsgiDesk::Handle(const SupervisedWorker& worker, const UwsgiCall& call, UwsgiAnswer* answer) {
  const Caller caller = {absl::StrCat("uwsgi, in ", worker.name())};
  switch (call.call_case()) {
    case UwsgiCall::kListWorkers:
      Describe(answer);
      return absl::OkStatus();
    case UwsgiCall::kReload:
      return host_->ReloadPool(caller);
    case UwsgiCall::kStop:
      host_->StopServer(caller);
      return absl::OkStatus();
    case UwsgiCall::kLock:
    case UwsgiCall::kUnlock:
    case UwsgiCall::kIsLocked:
      return HandleLock(worker.identity().number, call, answer);
    default:
      return HandleSignal(worker.identity().number, call, answer);
  }
}

absl::Status UwsgiDesk::HandleLock(WorkerNumber number, const UwsgiCall& call, UwsgiAnswer* answer) {
  const int lock = call.has_lock()     ? call.lock().lock()
                   : call.has_unlock() ? call.unlock().lock()
                                       : call.is_locked().lock();
  if (lock < 0 || lock >= kLocks) {
    return absl::InvalidArgumentError(absl::StrCat("there is no lock ", lock, ": they are 0 to ", kLocks - 1));
  }
  if (call.has_unlock()) return locks_.Unlock(lock, number);
  answer->set_truth(locks_.IsLocked(lock));
  return absl::OkStatus();
}

absl::Status UwsgiDesk::HandleSignal(WorkerNumber number, const UwsgiCall& call, UwsgiAnswer* answer) {
  switch (call.call_case()) {
    case UwsgiCall::kRegisterSignal:
      return board_.Register(number, call.register_signal().signal(), call.register_signal().target());
    case UwsgiCall::kSendSignal:
      return board_.Send(call.send_signal().signal());
    case UwsgiCall::kIsRegistered:
      answer->set_truth(board_.IsRegistered(call.is_registered().signal()));
      return absl::OkStatus();
    case UwsgiCall::kSignalFor: {
      const absl::StatusOr<int> signal = board_.SignalFor(number, call.signal_for().name());
      if (signal.ok()) answer->set_signal(*signal);
      return signal.status();
    }
    case UwsgiCall::kAddTimer: {
      const UwsgiCall::AddTimer& timer = call.add_timer();
      return board_.AddTimer(
          number, timer.signal(),
          {.period_ns = timer.period_ns(), .iterations = timer.iterations(), .from_last = timer.from_last()});
    }
    case UwsgiCall::kAddCron: {
      const UwsgiCall::AddCron& cron = call.add_cron();
      return board_.AddCron(number, cron.signal(),
                            {.minute = cron.minute(),
                             .hour = cron.hour(),
                             .day = cron.day(),
                             .month = cron.month(),
                             .weekday = cron.weekday()});
    }
    case UwsgiCall::kAddFileMonitor:
      return board_.AddFileMonitor(number, call.add_file_monitor().signal(), call.add_file_monitor().path());
    default:
      return absl::UnimplementedError("the master does not know this call");
  }
}

// Of what the workers have reported: up to a second old.
void UwsgiDesk::Describe(UwsgiAnswer* answer) const {
  for (int slot = 1; slot <= environment_.workers->target().slots; ++slot) {
    const SupervisedWorker* const worker = environment_.workers->Current(slot);
    if (worker == nullptr) continue;
    const v1::Worker described = worker->Describe();
    const v1::Statistics& statistics = described.statistics();
    UwsgiAnswer::Worker* const one = answer->add_workers();
    one->set_id(slot);
    one->set_pid(described.pid());
    one->set_requests(statistics.requests());
    for (const auto& [status, count] : statistics.responses_by_status()) {
      if (status >= 500) one->set_exceptions(one->exceptions() + count);
    }
    one->set_signals(board_.TakenBy(worker->identity().number));
    one->set_busy(statistics.cores_busy() > 0);
    one->set_rss_bytes(statistics.rss_bytes());
    const int64_t run_time_us = statistics.run_time().sum_ns() / kNanosecondsPerMicrosecond;
    one->set_running_time_us(run_time_us);
    if (statistics.run_time().count() > 0) one->set_avg_rt_us(run_time_us / statistics.run_time().count());
    one->set_last_spawn_s(described.start_time().seconds());
    const auto starts = starts_.find(slot);
    one->set_respawn_count(starts != starts_.end() ? starts->second : 0);
    one->set_tx_bytes(statistics.bytes_sent());
  }
}

std::vector<SignalBoard::ReadyWorker> UwsgiDesk::ReadyWorkers() {
  std::vector<SignalBoard::ReadyWorker> ready;
  for (int slot = 1; slot <= environment_.workers->target().slots; ++slot) {
    const SupervisedWorker* const worker = environment_.workers->Current(slot);
    if (worker == nullptr || worker->state() != SupervisedWorker::State::kReady) continue;
    ready.push_back({worker->identity().number, slot});
  }
  return ready;
}

void UwsgiDesk::Deliver(WorkerNumber number, int signal, std::function<void(bool taken)> done) {
  worker::v1::ToWorker message;
  message.mutable_uwsgi_signal()->set_signal(signal);
  Find(number)->handle()->Ask(std::move(message), kTakeTimeoutNs,
                              [done = std::move(done)](const absl::StatusOr<worker::v1::FromWorker>& answer) {
                                done(answer.ok() && answer->has_signal_taken());
                              });
}

void UwsgiDesk::Warn(const std::string& what) {
  environment_.events->Add(v1::Event::POOL_UPDATED, v1::Event::WARNING, environment_.pool, what);
}

void UwsgiDesk::Answer(WorkerNumber number, int64_t id, UwsgiAnswer answer) {
  SupervisedWorker* const worker = Find(number);
  if (worker == nullptr || worker->handle() == nullptr) return;
  worker::v1::ToWorker message;
  message.set_answer_to(id);
  *message.mutable_uwsgi_answer() = std::move(answer);
  worker->handle()->Tell(std::move(message), {});
}

SupervisedWorker* UwsgiDesk::Find(WorkerNumber number) const {
  for (SupervisedWorker* worker : environment_.workers->All()) {
    if (worker->identity().number == number) return worker;
  }
  return nullptr;
}

}  // namespace greenring::control
