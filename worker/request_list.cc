#include "worker/request_list.h"

#include <time.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fd_name.h"
#include "base/os_thread.h"
#include "google/protobuf/util/time_util.h"
#include "green/inspection.h"
#include "worker/connection.h"
#include "worker/http_exchange.h"

namespace greenring::worker {
namespace {

namespace v1 = control::v1;

using google::protobuf::util::TimeUtil;

// What a client has sent, as a string of a message, which has to be UTF-8: other bytes than printable ASCII as %XX.
std::string Printable(std::string_view text) {
  constexpr char kHexDigits[] = "0123456789ABCDEF";
  std::string printable;
  printable.reserve(text.size());
  for (const char c : text) {
    if (c >= 0x20 && c < 0x7f) {
      printable += c;
    } else {
      printable += '%';
      printable += kHexDigits[(c >> 4) & 15];
      printable += kHexDigits[c & 15];
    }
  }
  return printable;
}

std::string ClientOf(Connection* connection) {
  const HttpExchange* const exchange = connection->serving();
  if (exchange != nullptr && !exchange->head().remote_addr.empty()) return Printable(exchange->head().remote_addr);
  const pyhost::PeerAddress& peer = connection->peer();
  switch (peer.family) {
    case pyhost::PeerAddress::Family::kUnix:
      return "";
    case pyhost::PeerAddress::Family::kIpv4:
      return absl::StrCat(peer.IpText(), ":", peer.port);
    case pyhost::PeerAddress::Family::kIpv6:
      return absl::StrCat("[", peer.IpText(), "]:", peer.port);
  }
  return "";
}

v1::Engine EngineOf(CoreEngine engine) {
  switch (engine) {
    case CoreEngine::kUcontext:
      return v1::UCONTEXT;
    case CoreEngine::kFcontext:
      return v1::FCONTEXT;
    case CoreEngine::kThread:
      return v1::THREAD;
    case CoreEngine::kGreenlet:
      return v1::GREENLET;
    case CoreEngine::kGevent:
      return v1::GEVENT;
  }
  return v1::ENGINE_UNSPECIFIED;
}

v1::Request::State StateOf(green::GreenThread::State state) {
  switch (state) {
    case green::GreenThread::State::kRunnable:
      return v1::Request::RUNNABLE;
    case green::GreenThread::State::kRunning:
      return v1::Request::RUNNING;
    case green::GreenThread::State::kParked:
      return v1::Request::PARKED;
    case green::GreenThread::State::kFree:
    case green::GreenThread::State::kAbandoned:
      break;
  }
  return v1::Request::STATE_UNSPECIFIED;
}

// In flight, as far as an operator is concerned: its core is not lost.
HttpExchange* InFlight(const Connection* connection) {
  HttpExchange* const exchange = connection->serving();
  if (exchange == nullptr || exchange->number() == 0) return nullptr;
  const green::GreenThread* const thread = exchange->thread();
  return thread != nullptr && thread->state() == green::GreenThread::State::kAbandoned ? nullptr : exchange;
}

// Fills in messages; what several requests have in common is looked up once.
class Describer {
 public:
  Describer(const HttpService* service, const green::Scheduler* scheduler, int64_t wall_now_ns)
      : now_ns_(scheduler->clock()->NowNs()), wall_now_ns_(wall_now_ns) {
    for (const Connection* connection : service->connections()) {
      const HttpExchange* const exchange = InFlight(connection);
      if (exchange != nullptr && exchange->thread() != nullptr) {
        numbers_.emplace(exchange->thread()->id(), exchange->number());
      }
    }
  }

  int64_t now_ns() const { return now_ns_; }

  void Describe(Connection* connection, v1::Request* request) {
    HttpExchange* const exchange = InFlight(connection);
    const protocol::RequestHead& head = exchange->head();
    request->set_name(absl::StrCat(exchange->number()));
    request->set_request_id(std::string(exchange->request_id()));
    request->set_method(Printable(head.method));
    request->set_target(Printable(head.target.substr(0, RequestList::kTargetBytesMax)));
    request->set_host(Printable(head.host));
    request->set_client(ClientOf(connection));
    const int64_t age_ns = std::max<int64_t>(0, now_ns_ - exchange->started_ns());
    *request->mutable_start_time() = TimeUtil::NanosecondsToTimestamp(wall_now_ns_ - age_ns);
    *request->mutable_age() = TimeUtil::NanosecondsToDuration(age_ns);
    if (exchange->deadline_ns() != kNeverNs) {
      *request->mutable_deadline() =
          TimeUtil::NanosecondsToTimestamp(wall_now_ns_ + (exchange->deadline_ns() - now_ns_));
    }
    request->set_fd(-1);
    if (exchange->thread() == nullptr) {
      request->set_state(v1::Request::QUEUED);
      *request->mutable_in_state() = TimeUtil::NanosecondsToDuration(exchange->QueuedNs());
      return;
    }
    *request->mutable_cpu_time() = TimeUtil::NanosecondsToDuration(exchange->CpuNs());
    request->set_switches(static_cast<int64_t>(exchange->switches()));
    request->set_generation(exchange->generation());
    DescribeThread(*exchange, green::Inspect(*exchange->thread()), request);
  }

 private:
  void DescribeThread(const HttpExchange& exchange, const green::ThreadInfo& info, v1::Request* request) {
    request->set_state(StateOf(info.state));
    // Its core may have been in this state for longer: since before it took the request.
    *request->mutable_in_state() = TimeUtil::NanosecondsToDuration(std::min(info.since_ns, exchange.RunNs()));
    request->set_engine(EngineOf(exchange.connection()->service()->cores()->engine_of(exchange.generation())));
    request->set_green_thread(static_cast<int64_t>(info.id));
    if (exchange.greenlet() != nullptr && exchange.greenlet()->runs_on() != nullptr) {
      const green::ThreadInfo hub = green::Inspect(*exchange.greenlet()->runs_on());
      request->set_state(StateOf(hub.state));
      if (hub.state == green::GreenThread::State::kParked) DescribeCall(hub.wait.call, hub.wait.fd, request);
      return;
    }
    const OsThread* const os_thread = exchange.os_thread();
    const OsThread::Look look = os_thread != nullptr ? os_thread->LookAtIt() : OsThread::Look();
    const size_t used_bytes = os_thread != nullptr ? look.stack_used_bytes : info.stack_used_bytes;
    const size_t size_bytes = os_thread != nullptr ? os_thread->stack_size_bytes() : info.stack_size_bytes;
    request->set_stack_use_bytes(static_cast<int64_t>(used_bytes));
    request->set_stack_size_bytes(static_cast<int64_t>(size_bytes));
    if (info.state != green::GreenThread::State::kParked) return;
    if (info.wait.kind == green::WaitNote::Kind::kOsThread) {
      request->set_state(v1::Request::ON_THREAD);
      return DescribeCall(look.call, look.fd, request);
    }
    DescribeCall(info.wait.call, info.wait.fd, request);
    if (info.holder.is_known()) request->set_lock_holder(HolderName(info.holder));
  }

  void DescribeCall(const char* call, int fd, v1::Request* request) {
    if (call != nullptr) request->set_call(call);
    if (fd < 0) return;
    request->set_fd(fd);
    request->set_peer(PeerOf(fd));
  }

  const std::string& PeerOf(int fd) {
    const auto [place, is_new] = peers_.try_emplace(fd);
    if (is_new) place->second = Printable(PeerName(fd));
    return place->second;
  }

  std::string HolderName(green::LockHolders::Holder holder) const {
    if (holder.green_thread_id() == 0) return absl::StrCat("OS thread ", holder.os_thread_id());
    const auto request = numbers_.find(holder.green_thread_id());
    if (request == numbers_.end()) return absl::StrCat("green thread ", holder.green_thread_id());
    return absl::StrCat("request ", request->second);
  }

  const int64_t now_ns_;
  const int64_t wall_now_ns_;
  std::unordered_map<uint64_t, uint64_t> numbers_;  // of requests, by their green threads' ids
  std::unordered_map<int, std::string> peers_;
};

}  // namespace

int64_t RequestList::WallNowNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kNanosecondsPerSecond + now.tv_nsec;
}

void RequestList::List(int64_t age_min_ns, int32_t count_max,
                       google::protobuf::RepeatedPtrField<v1::Request>* requests) const {
  Describer describer(service_, scheduler_, wall_now_ns_());
  std::vector<std::pair<const HttpExchange*, Connection*>> found;
  for (Connection* connection : service_->connections()) {
    const HttpExchange* const exchange = InFlight(connection);
    if (exchange == nullptr || describer.now_ns() - exchange->started_ns() < age_min_ns) continue;
    found.emplace_back(exchange, connection);
  }
  const size_t count = std::min(found.size(), static_cast<size_t>(std::max(count_max, 0)));
  const auto begin = found.begin();
  std::partial_sort(begin, begin + static_cast<std::ptrdiff_t>(count), found.end(), [](const auto& a, const auto& b) {
    return a.first->number() < b.first->number();  // they are numbered as they begin
  });
  for (size_t i = 0; i < count; ++i) describer.Describe(found[i].second, requests->Add());
}

absl::StatusOr<v1::Stack> RequestList::Stack(int64_t number) const {
  Connection* const connection = Find(number);
  if (connection == nullptr) return absl::NotFoundError(absl::StrCat("request ", number, " is not in flight any more"));
  v1::Stack stack;
  Describer(service_, scheduler_, wall_now_ns_()).Describe(connection, stack.mutable_request());
  pyhost::Exchange::Interrupter* const application = connection->serving()->interrupter();
  if (application != nullptr) stack.set_python(application->PythonStack());
  return stack;
}

absl::Status RequestList::Cancel(int64_t number, const std::string& reason) {
  Connection* const connection = Find(number);
  if (connection == nullptr) return absl::NotFoundError(absl::StrCat("request ", number, " is not in flight any more"));
  return connection->CancelRequest(reason);
}

Connection* RequestList::Find(int64_t number) const {
  for (Connection* connection : service_->connections()) {
    const HttpExchange* const exchange = InFlight(connection);
    if (exchange != nullptr && exchange->number() == static_cast<uint64_t>(number)) return connection;
  }
  return nullptr;
}

}  // namespace greenring::worker
