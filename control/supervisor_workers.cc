// Workers, the requests in flight, and statistics.
#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "control/supervisor.h"
#include "google/protobuf/util/time_util.h"

namespace greenring::control {
namespace {

using google::protobuf::util::TimeUtil;

// What a worker that turns needs to list its requests is milliseconds.
constexpr int64_t kListTimeoutNs = 2 * kNanosecondsPerSecond;
// A running request gives its stack at its next bytecode.
constexpr int64_t kStackTimeoutNs = 5 * kNanosecondsPerSecond;
constexpr int kRequestsMax = 100'000;  // of one worker: as many as it can have cores

// "pools/web/workers/3/requests/17" in its segments; empty when it does not look like that.
std::vector<std::string> Segments(const std::string& name, size_t count) {
  std::vector<std::string> segments = absl::StrSplit(name, '/');
  constexpr const char* kCollections[] = {"pools", "workers", "requests"};
  if (segments.size() != count) return {};
  for (size_t i = 0; i < count; i += 2) {
    if (segments[i] != kCollections[i / 2]) return {};
  }
  return segments;
}

std::string WorkerOf(const std::vector<std::string>& segments) {
  return absl::StrJoin(segments.begin(), segments.begin() + 4, "/");
}

absl::Status NoSuch(const std::string& name) { return absl::NotFoundError(absl::StrCat("there is no ", name)); }

bool Answers(const SupervisedWorker& worker) {
  return worker.state() != SupervisedWorker::State::kStarting && worker.state() != SupervisedWorker::State::kEnded;
}

// The answers of several workers, as they come.
struct Gathering {
  ControlPlane::RequestList list;
  int outstanding = 0;
  std::function<void(absl::StatusOr<ControlPlane::RequestList>)> done;

  void Finish() {
    std::sort(list.requests.begin(), list.requests.end(), [](const v1::Request& left, const v1::Request& right) {
      const int64_t left_ns = TimeUtil::DurationToNanoseconds(left.age()),
                    right_ns = TimeUtil::DurationToNanoseconds(right.age());
      return left_ns != right_ns ? left_ns > right_ns : left.name() < right.name();
    });
    done(std::move(list));
  }
};

}  // namespace

absl::StatusOr<std::vector<v1::Worker>> Supervisor::ListWorkers(const std::string& parent, bool show_ended) {
  std::vector<PoolRunner*> pools;
  if (parent == "pools/-") {
    for (const auto& [name, runner] : runners_) pools.push_back(runner.get());
  } else {
    const absl::StatusOr<PoolRunner*> runner = FindPool(parent);
    if (!runner.ok()) return runner.status();
    pools.push_back(*runner);
  }
  std::vector<v1::Worker> result;
  for (const PoolRunner* pool : pools) {
    // Those that have ended and those that run alternate: by their numbers.
    std::map<int64_t, v1::Worker> by_number;
    for (const SupervisedWorker* worker : pool->workers()->All()) {
      by_number[worker->identity().number] = worker->Describe();
    }
    if (show_ended) {
      for (const v1::Worker& worker : pool->workers()->ended()) {
        int64_t number = 0;
        if (absl::SimpleAtoi(worker.name().substr(worker.name().rfind('/') + 1), &number)) by_number[number] = worker;
      }
    }
    for (auto& [number, worker] : by_number) result.push_back(std::move(worker));
  }
  return result;
}

absl::StatusOr<v1::Worker> Supervisor::GetWorker(const std::string& name) {
  if (const absl::StatusOr<SupervisedWorker*> worker = FindWorker(name); worker.ok()) return (*worker)->Describe();
  for (const auto& [pool, runner] : runners_) {
    for (const v1::Worker& worker : runner->workers()->ended()) {
      if (worker.name() == name) return worker;
    }
  }
  return NoSuch(name);
}

absl::StatusOr<v1::Operation> Supervisor::RestartWorker(const std::string& name, const Caller& caller) {
  const std::vector<std::string> segments = Segments(name, 4);
  if (segments.empty()) return NoSuch(name);
  const absl::StatusOr<PoolRunner*> runner = FindPool(absl::StrCat("pools/", segments[1]));
  if (!runner.ok()) return runner.status();
  return (*runner)->Restart(name, caller);
}

absl::StatusOr<SupervisedWorker*> Supervisor::FindWorker(const std::string& name) const {
  const std::vector<std::string> segments = Segments(name, 4);
  if (segments.empty()) return NoSuch(name);
  const absl::StatusOr<PoolRunner*> runner = FindPool(absl::StrCat("pools/", segments[1]));
  if (!runner.ok()) return runner.status();
  SupervisedWorker* worker = (*runner)->workers()->Find(name);
  if (worker == nullptr) return NoSuch(name);
  return worker;
}

absl::StatusOr<std::vector<SupervisedWorker*>> Supervisor::WorkersOf(const std::string& parent) const {
  const std::vector<std::string> segments = Segments(parent, 4);
  if (segments.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("parent must be \"pools/{pool}/workers/{worker}\", with \"-\" for all, not \"", parent, "\""));
  }
  std::vector<SupervisedWorker*> workers;
  if (segments[3] != "-") {
    absl::StatusOr<SupervisedWorker*> worker = FindWorker(parent);
    if (!worker.ok()) return worker.status();
    workers.push_back(*worker);
    return workers;
  }
  for (const auto& [name, runner] : runners_) {
    if (segments[1] != "-" && name != absl::StrCat("pools/", segments[1])) continue;
    for (SupervisedWorker* worker : runner->workers()->All()) workers.push_back(worker);
  }
  if (segments[1] != "-" && !FindPool(absl::StrCat("pools/", segments[1])).ok()) {
    return NoSuch(absl::StrCat("pools/", segments[1]));
  }
  return workers;
}

void Supervisor::ListRequests(const std::string& parent, int64_t age_min_ns,
                              std::function<void(absl::StatusOr<RequestList>)> done) {
  const absl::StatusOr<std::vector<SupervisedWorker*>> workers = WorkersOf(parent);
  if (!workers.ok()) return done(workers.status());
  auto gathering = std::make_shared<Gathering>();
  gathering->done = std::move(done);
  for (SupervisedWorker* worker : *workers) gathering->outstanding += Answers(*worker) ? 1 : 0;
  if (gathering->outstanding == 0) return gathering->Finish();
  worker::v1::ToWorker question;
  question.mutable_list_requests()->set_age_min_ns(age_min_ns);
  question.mutable_list_requests()->set_count_max(kRequestsMax);
  for (SupervisedWorker* worker : *workers) {
    if (!Answers(*worker)) continue;
    worker->handle()->Ask(question, kListTimeoutNs,
                          [gathering, name = worker->name()](const absl::StatusOr<worker::v1::FromWorker>& answer) {
                            if (answer.ok() && answer->has_request_list()) {
                              for (v1::Request request : answer->request_list().requests()) {
                                request.set_name(absl::StrCat(name, "/requests/", request.name()));
                                gathering->list.requests.push_back(std::move(request));
                              }
                            } else {
                              gathering->list.unreachable.push_back(name);
                            }
                            if (--gathering->outstanding == 0) gathering->Finish();
                          });
  }
}

// Asks the worker of `request`; `done` gets its answer, or an error for people.
void Supervisor::AskWorker(const std::string& request, worker::v1::ToWorker message,
                           std::function<void(absl::StatusOr<worker::v1::FromWorker>)> done) {
  const absl::StatusOr<SupervisedWorker*> worker = FindWorker(WorkerOf(Segments(request, 6)));
  if (!worker.ok() || !Answers(**worker)) return done(NoSuch(request));
  (*worker)->handle()->Ask(std::move(message), kStackTimeoutNs,
                           [request, done = std::move(done)](absl::StatusOr<worker::v1::FromWorker> answer) {
                             if (absl::IsDeadlineExceeded(answer.status())) {
                               return done(absl::UnavailableError(
                                   absl::StrCat("the worker of ", request, " does not answer: its loop is held up")));
                             }
                             if (answer.ok() && answer->has_refused()) {
                               const std::string& why = answer->refused().message();
                               if (answer->refused().not_found())
                                 return done(absl::NotFoundError(absl::StrCat(request, ": ", why)));
                               return done(absl::FailedPreconditionError(absl::StrCat(request, ": ", why)));
                             }
                             done(std::move(answer));
                           });
}

void Supervisor::GetStack(const std::string& request, std::function<void(absl::StatusOr<v1::Stack>)> done) {
  const std::vector<std::string> segments = Segments(request, 6);
  worker::v1::ToWorker message;
  int64_t id = 0;
  if (segments.empty() || !absl::SimpleAtoi(segments[5], &id)) return done(NoSuch(request));
  message.mutable_get_stack()->set_request(id);
  AskWorker(request, std::move(message),
            [request, done = std::move(done)](const absl::StatusOr<worker::v1::FromWorker>& answer) {
              if (!answer.ok()) return done(answer.status());
              v1::Stack stack;
              *stack.mutable_request() = answer->stack_text().request();
              stack.mutable_request()->set_name(request);
              stack.set_python(answer->stack_text().python());
              done(std::move(stack));
            });
}

void Supervisor::CancelRequest(const std::string& request, const std::string& reason, const Caller& caller,
                               std::function<void(absl::Status)> done) {
  const std::vector<std::string> segments = Segments(request, 6);
  worker::v1::ToWorker message;
  int64_t id = 0;
  if (segments.empty() || !absl::SimpleAtoi(segments[5], &id)) return done(NoSuch(request));
  message.mutable_cancel_request()->set_request(id);
  message.mutable_cancel_request()->set_reason(reason.empty() ? "cancelled by an operator" : reason);
  AskWorker(
      request, std::move(message),
      [this, request, reason, caller, done = std::move(done)](const absl::StatusOr<worker::v1::FromWorker>& answer) {
        if (answer.ok()) {
          events_.Add(v1::Event::REQUEST_CANCELLED, v1::Event::INFO, request, reason, caller.name);
        }
        done(answer.status());
      });
}

absl::StatusOr<v1::Operation> Supervisor::CancelOperation(const std::string& name, const Caller& caller) {
  const absl::StatusOr<v1::Operation> operation = operations_.Get(name);
  if (!operation.ok()) return operation;
  if (operation->done()) return absl::FailedPreconditionError(absl::StrCat(name, " is done already"));
  for (const auto& [pool, runner] : runners_) {
    if (!runner->Has(name)) continue;
    if (absl::Status status = runner->Cancel(name, caller); !status.ok()) return status;
  }
  return operations_.Get(name);
}

v1::Server Supervisor::GetServer() {
  v1::Server server = *server_;
  server.set_draining(stopping_);
  // The master has no Python: its workers say which they have.
  for (const auto& [name, runner] : runners_) {
    for (const SupervisedWorker* worker : runner->workers()->All()) {
      if (server.python_version().empty()) server.set_python_version(worker->python_version());
    }
  }
  return server;
}

std::vector<v1::PoolStatistics> Supervisor::ListStatistics(const std::vector<std::string>& pools) {
  std::vector<v1::PoolStatistics> result;
  for (const auto& [name, runner] : runners_) {
    if (!pools.empty() && std::find(pools.begin(), pools.end(), name) == pools.end()) continue;
    v1::PoolStatistics& statistics = result.emplace_back();
    statistics.set_pool(name);
    *statistics.mutable_time() = environment_.timers->WallTime();
    *statistics.mutable_total() = runner->workers()->TotalStatistics();
    for (const SupervisedWorker* worker : runner->workers()->All()) {
      v1::WorkerStatistics* one = statistics.add_workers();
      one->set_worker(worker->name());
      *one->mutable_statistics() = worker->report().statistics();
    }
  }
  return result;
}

}  // namespace greenring::control
