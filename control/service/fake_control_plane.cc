#include "control/service/fake_control_plane.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/config/engines.h"
#include "control/config/pool_config.h"
#include "google/protobuf/util/time_util.h"

namespace greenring::control {
namespace {

using google::protobuf::util::TimeUtil;

std::string PoolOf(const std::string& worker) { return worker.substr(0, worker.find("/workers/")); }

v1::Pool CannedPool(const std::string& name, const std::string& target, const std::string& address) {
  v1::Pool pool;
  pool.set_name(name);
  pool.mutable_application()->set_target(target);
  pool.add_listeners()->set_address(address);
  pool.set_workers(2);
  return pool;
}

v1::Request CannedRequest(const std::string& name, v1::Request::State state, const std::string& target, int age_s) {
  v1::Request request;
  request.set_name(name);
  request.set_method("GET");
  request.set_target(target);
  request.set_host("example.com");
  request.set_client("192.0.2.7:50312");
  request.set_state(state);
  request.set_fd(-1);
  request.set_engine(v1::UCONTEXT);
  request.set_stack_use_bytes(20 << 10);
  request.set_stack_size_bytes(256 << 10);
  *request.mutable_age() = TimeUtil::SecondsToDuration(age_s);
  return request;
}

}  // namespace

bool FakeControlPlane::IsWithin(const std::string& name, const std::string& parent) {
  size_t at = 0;
  for (size_t i = 0; i < parent.size();) {
    if (parent[i] == '-' && (i + 1 == parent.size() || parent[i + 1] == '/') && parent[i - 1] == '/') {
      at = std::min(name.find('/', at), name.size());
      ++i;
      continue;
    }
    if (at >= name.size() || name[at++] != parent[i++]) return false;
  }
  return at == name.size() || name[at] == '/';
}

FakeControlPlane::FakeControlPlane(std::function<absl::Time()> now) : now_(std::move(now)), start_(now_()) {
  AddPool(CannedPool("pools/api", "api:app", "127.0.0.1:8081"));
  AddPool(CannedPool("pools/web", "shop.wsgi:app", "127.0.0.1:8080"));
  v1::Request query = CannedRequest("pools/web/workers/1/requests/12", v1::Request::PARKED, "/orders?page=3", 31);
  query.set_call("recv");
  query.set_fd(17);
  query.set_peer("10.0.0.5:5432");
  AddRequest(std::move(query));
  AddRequest(CannedRequest("pools/web/workers/1/requests/19", v1::Request::RUNNING, "/report.csv", 4));
  AddRequest(CannedRequest("pools/web/workers/2/requests/7", v1::Request::QUEUED, "/", 0));
  v1::Request sleeper = CannedRequest("pools/api/workers/1/requests/3", v1::Request::PARKED, "/poll", 12);
  sleeper.set_call("nanosleep");
  AddRequest(std::move(sleeper));
}

void FakeControlPlane::FillTime(google::protobuf::Timestamp* timestamp) {
  *timestamp = TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now_()));
}

void FakeControlPlane::AddPool(v1::Pool pool) {
  FillDefaults(&pool);
  pool.set_generation(1);
  pool.set_etag(EtagOf(pool));
  FillTime(pool.mutable_create_time());
  FillTime(pool.mutable_update_time());
  const std::string name = pool.name();
  AddWorkers(pool);
  v1::Statistics& statistics = statistics_[name];
  statistics.set_cores(pool.workers() * pool.async_cores());
  statistics.set_rss_bytes(int64_t{40} << 20);
  pools_[name] = std::move(pool);
  Settle(name);
}

void FakeControlPlane::AddWorkers(const v1::Pool& pool) {
  for (int number = 1; number <= pool.workers(); ++number) {
    v1::Worker worker;
    worker.set_name(absl::StrCat(pool.name(), "/workers/", number));
    worker.set_slot(number);
    worker.set_pid(next_pid_++);
    worker.set_state(v1::Worker::READY);
    worker.set_generation(pool.generation());
    FillTime(worker.mutable_start_time());
    FillTime(worker.mutable_ready_time());
    worker.mutable_statistics()->set_cores(pool.async_cores());
    workers_.push_back(std::move(worker));
  }
  std::stable_sort(workers_.begin(), workers_.end(), [](const v1::Worker& a, const v1::Worker& b) {
    return std::make_pair(PoolOf(a.name()), a.slot()) < std::make_pair(PoolOf(b.name()), b.slot());
  });
}

// The pool runs what it is told to.
void FakeControlPlane::Settle(const std::string& name) {
  v1::Pool& pool = pools_.at(name);
  v1::PoolStatus* status = pool.mutable_status();
  status->Clear();
  status->set_state(pool.drained() ? v1::PoolStatus::DRAINED : v1::PoolStatus::READY);
  status->set_observed_generation(pool.generation());
  status->set_workers_ready(pool.drained() ? 0 : pool.workers());
  v1::GenerationStatus* generation = status->add_generations();
  generation->set_generation(pool.generation());
  generation->set_workers(status->workers_ready());
  generation->set_cores(status->workers_ready() * pool.async_cores());
}

void FakeControlPlane::AddRequest(v1::Request request) {
  const absl::Duration age = absl::Nanoseconds(TimeUtil::DurationToNanoseconds(request.age()));
  if (!request.has_start_time()) {
    *request.mutable_start_time() = TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now_() - age));
  }
  if (request.request_id().empty()) request.set_request_id(absl::StrCat("id-", requests_.size() + 1));
  requests_.push_back(std::move(request));
}

// ---- workers and requests ----

absl::StatusOr<std::vector<v1::Worker>> FakeControlPlane::ListWorkers(const std::string& parent, bool show_ended) {
  if (parent != "pools/-" && pools_.count(parent) == 0) {
    return absl::NotFoundError(absl::StrCat("there is no ", parent));
  }
  std::vector<v1::Worker> workers;
  for (const v1::Worker& worker : workers_) {
    if (!show_ended && worker.state() == v1::Worker::ENDED) continue;
    if (IsWithin(worker.name(), parent)) workers.push_back(worker);
  }
  return workers;
}

absl::StatusOr<v1::Worker> FakeControlPlane::GetWorker(const std::string& name) {
  for (const v1::Worker& worker : workers_) {
    if (worker.name() == name) return worker;
  }
  return absl::NotFoundError(absl::StrCat("there is no ", name));
}

absl::StatusOr<v1::Operation> FakeControlPlane::RestartWorker(const std::string& name, const Caller& caller) {
  const absl::StatusOr<v1::Worker> worker = GetWorker(name);
  if (!worker.ok()) return worker.status();
  changes_.push_back(absl::StrCat("restart ", name, ": ", caller.name));
  return Begin("restart", name, caller, 1, nullptr);
}

void FakeControlPlane::Answer(std::function<void()> answer) {
  if (hold_) {
    held_.push_back(std::move(answer));
  } else {
    answer();
  }
}

void FakeControlPlane::HoldAnswers(bool hold) {
  hold_ = hold;
  if (hold) return;
  for (const std::function<void()>& answer : std::exchange(held_, {})) answer();
}

void FakeControlPlane::ListRequests(const std::string& parent, int64_t age_min_ns,
                                    std::function<void(absl::StatusOr<RequestList>)> done) {
  RequestList list;
  const int64_t now_ns = absl::ToUnixNanos(now_());
  for (v1::Request request : requests_) {
    const int64_t age_ns = now_ns - TimeUtil::TimestampToNanoseconds(request.start_time());
    if (age_ns < age_min_ns || !IsWithin(request.name(), parent)) continue;
    *request.mutable_age() = TimeUtil::NanosecondsToDuration(age_ns);
    list.requests.push_back(std::move(request));
  }
  std::stable_sort(list.requests.begin(), list.requests.end(),
                   [](const v1::Request& a, const v1::Request& b) { return a.start_time() < b.start_time(); });
  Answer([list = std::move(list), done = std::move(done)] { done(list); });
}

void FakeControlPlane::GetStack(const std::string& name, std::function<void(absl::StatusOr<v1::Stack>)> done) {
  absl::StatusOr<v1::Stack> stack = absl::NotFoundError(absl::StrCat("there is no ", name));
  for (const v1::Request& request : requests_) {
    if (request.name() != name) continue;
    stack.emplace();
    *stack->mutable_request() = request;
    stack->set_python(
        "Traceback (most recent call last):\n  File \"shop/wsgi.py\", line 12, in app\n    rows = cursor.fetchall()\n");
  }
  Answer([stack = std::move(stack), done = std::move(done)] { done(stack); });
}

void FakeControlPlane::CancelRequest(const std::string& name, const std::string& reason, const Caller& caller,
                                     std::function<void(absl::Status)> done) {
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&name](const v1::Request& request) { return request.name() == name; });
  absl::Status status;
  if (found == requests_.end()) {
    status = absl::NotFoundError(absl::StrCat("there is no ", name));
  } else {
    requests_.erase(found);
    changes_.push_back(absl::StrCat("cancel ", name, " (", reason, "): ", caller.name));
    EmitFor(v1::Event::REQUEST_CANCELLED, name, reason);
  }
  Answer([status, done = std::move(done)] { done(status); });
}

// ---- the server ----

v1::Server FakeControlPlane::GetServer() {
  v1::Server server;
  server.set_version("1.0-fake");
  server.set_pid(4700);
  server.set_python_version("3.11.2");
  for (const v1::Engine engine : AvailableEngines()) server.add_engines(engine);
  *server.mutable_start_time() = TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(start_));
  return server;
}

std::vector<v1::PoolStatistics> FakeControlPlane::ListStatistics(const std::vector<std::string>& pools) {
  std::vector<v1::PoolStatistics> all;
  for (const auto& [name, pool] : pools_) {
    if (!pools.empty() && std::find(pools.begin(), pools.end(), name) == pools.end()) continue;
    v1::PoolStatistics& statistics = all.emplace_back();
    statistics.set_pool(name);
    FillTime(statistics.mutable_time());
    *statistics.mutable_total() = statistics_[name];
    for (const v1::Worker& worker : workers_) {
      if (!IsWithin(worker.name(), name)) continue;
      v1::WorkerStatistics* of_worker = statistics.add_workers();
      of_worker->set_worker(worker.name());
      *of_worker->mutable_statistics() = worker.statistics();
    }
  }
  return all;
}

}  // namespace greenring::control
