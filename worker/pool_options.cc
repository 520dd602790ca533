#include "worker/pool_options.h"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/duration.pb.h"

namespace greenring::worker {
namespace {

using control::v1::Pool;

constexpr int64_t kTimeoutNsMax = int64_t{365} * 24 * 3600 * kNanosecondsPerSecond;

// Converts field by field; the first error stays.
class Reader {
 public:
  const absl::Status& status() const { return status_; }

  void Refuse(const char* field, const std::string& why) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
  }

  template <typename T>
  void Integer(const char* field, int64_t value, int64_t min, int64_t max, T* out) {
    if (value < min || value > max)
      return Refuse(field, absl::StrCat("must be from ", min, " to ", max, ", not ", value));
    *out = static_cast<T>(value);
  }

  void Duration(const char* field, const google::protobuf::Duration& value, int64_t min_ns, int64_t max_ns,
                int64_t* out_ns) {
    if (value.seconds() < 0 || value.seconds() > kTimeoutNsMax / kNanosecondsPerSecond || value.nanos() < 0 ||
        value.nanos() >= kNanosecondsPerSecond) {
      return Refuse(field, "must be a duration from 0 to a year");
    }
    Integer(field, value.seconds() * kNanosecondsPerSecond + value.nanos(), min_ns, max_ns, out_ns);
  }

  void Timeout(const char* field, const google::protobuf::Duration& value, int64_t* out_ns) {
    Duration(field, value, 0, kTimeoutNsMax, out_ns);
  }

 private:
  absl::Status status_;
};

void ReadCores(const Pool& pool, Reader* reader, WorkerOptions* options) {
  switch (pool.engine()) {
    case control::v1::UCONTEXT:
      options->cores.engine = CoreEngine::kUcontext;
      break;
    case control::v1::FCONTEXT:
      options->cores.engine = CoreEngine::kFcontext;
      break;
    case control::v1::THREAD:
      options->cores.engine = CoreEngine::kThread;
      break;
    case control::v1::GREENLET:
      options->cores.engine = CoreEngine::kGreenlet;
      break;
    case control::v1::GEVENT:
      options->cores.engine = CoreEngine::kGevent;
      break;
    default:
      reader->Refuse("engine", absl::StrCat("this version has no engine ", static_cast<int>(pool.engine())));
  }
  reader->Integer("async_cores", pool.async_cores(), 1, kAsyncCoresMax, &options->cores.cores_max);
  reader->Integer("stack_size_bytes", pool.stack_size_bytes(), green::kStackSizeBytesMin, green::kStackSizeBytesMax,
                  &options->cores.stack_size_bytes);
  reader->Integer("queue_depth_max", pool.queue_depth_max(), 0, 1 << 20, &options->cores.queue_depth_max);
  options->python_threads = pool.python_threads() == control::v1::GREEN ? PythonThreads::kGreen : PythonThreads::kOs;
  const bool sliced = pool.time_slice().seconds() != 0 || pool.time_slice().nanos() != 0;
  reader->Duration("time_slice", pool.time_slice(), sliced ? kTimeSliceNsMin : 0, kTimeSliceNsMax,
                   &options->time_slice_ns);
  options->audit = pool.audit().enabled();
  if (options->audit) {
    reader->Duration("audit.threshold", pool.audit().threshold(), kTimeSliceNsMin, kTimeSliceNsMax,
                     &options->audit_threshold_ns);
  }
}

void ReadTimeouts(const Pool& pool, Reader* reader, WorkerOptions* options) {
  const control::v1::Timeouts& timeouts = pool.timeouts();
  HttpServiceOptions& http = options->http;
  int64_t request_ns = 0;
  reader->Timeout("timeouts.request", timeouts.request(), &request_ns);
  http.request_timeouts.Set("", request_ns);
  for (const auto& [path, timeout] : timeouts.request_by_path()) {
    if (path.empty() || path.front() != '/') {
      reader->Refuse("timeouts.request_by_path", absl::StrCat("\"", path, "\" must begin with /"));
    }
    reader->Timeout("timeouts.request_by_path", timeout, &request_ns);
    if (!path.empty()) http.request_timeouts.Set(path, request_ns);
  }
  reader->Timeout("timeouts.request_grace", timeouts.request_grace(), &http.request_timeout_grace_ns);
  reader->Timeout("timeouts.keepalive", timeouts.keepalive(), &http.keepalive_timeout_ns);
  reader->Timeout("timeouts.header", timeouts.header(), &http.header_timeout_ns);
  reader->Timeout("timeouts.io", timeouts.io(), &http.io_timeout_ns);
  reader->Timeout("timeouts.drain", timeouts.drain(), &options->drain_timeout_ns);
}

void ReadLimits(const Pool& pool, Reader* reader, WorkerOptions* options) {
  protocol::Limits& limits = options->http.limits;
  reader->Integer("limits.request_line_bytes", pool.limits().request_line_bytes(), 64, 32 * 1024,
                  &limits.request_line_bytes_max);
  reader->Integer("limits.request_fields", pool.limits().request_fields(), 1, 1000, &limits.header_count_max);
  reader->Integer("limits.request_field_bytes", pool.limits().request_field_bytes(), 64, 32 * 1024,
                  &limits.header_field_bytes_max);
  int64_t body_bytes = 0;
  reader->Integer("limits.request_body_bytes", pool.limits().request_body_bytes(), 0,
                  std::numeric_limits<int64_t>::max(), &body_bytes);
  limits.body_bytes_max = body_bytes == 0 ? -1 : body_bytes;
  limits.head_bytes_max =
      std::max(limits.head_bytes_max, limits.request_line_bytes_max + limits.header_field_bytes_max + 8);
}

void ReadRecycling(const Pool& pool, Reader* reader, WorkerOptions* options) {
  const control::v1::Recycling& recycling = pool.recycling();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max() / 2;  // so that the sum of the two is one
  reader->Integer("recycling.requests_max", recycling.requests_max(), 0, kMax, &options->recycling.requests_max);
  reader->Integer("recycling.requests_jitter", recycling.requests_jitter(), 0, kMax,
                  &options->recycling.requests_jitter);
  reader->Integer("recycling.rss_bytes_max", recycling.rss_bytes_max(), 0, kMax, &options->recycling.rss_bytes_max);
  reader->Timeout("recycling.lifetime_max", recycling.lifetime_max(), &options->recycling.lifetime_max_ns);
}

void ReadProbes(const Pool& pool, Reader* reader, WorkerOptions* options) {
  for (const auto& [field, path, out] :
       {std::tuple("probes.liveness_path", &pool.probes().liveness_path(), &options->http.probes.liveness),
        std::tuple("probes.readiness_path", &pool.probes().readiness_path(), &options->http.probes.readiness)}) {
    if (!path->empty() && path->front() != '/') reader->Refuse(field, "must begin with /");
    *out = *path;
  }
}

}  // namespace

protocol::WireProtocol WireProtocolOf(control::v1::Listener::Protocol protocol) {
  return protocol == control::v1::Listener::UWSGI ? protocol::WireProtocol::kUwsgi : protocol::WireProtocol::kHttp;
}

absl::StatusOr<WorkerOptions> OptionsFromPool(const Pool& pool) {
  Reader reader;
  WorkerOptions options;
  const control::v1::Application& application = pool.application();
  if (application.target().empty()) reader.Refuse("application.target", "must name an application");
  options.application = application.target();
  options.working_directory = application.working_directory();
  options.python_path.assign(application.python_path().begin(), application.python_path().end());
  options.virtualenv = application.virtualenv();
  options.addresses.clear();
  options.uwsgi_api = pool.uwsgi_api().enabled();
  options.uwsgi_options = {pool.uwsgi_api().options().begin(), pool.uwsgi_api().options().end()};
  options.gevent_monkey_patch = pool.gevent().monkey_patch();
  ReadCores(pool, &reader, &options);
  ReadTimeouts(pool, &reader, &options);
  ReadLimits(pool, &reader, &options);
  ReadRecycling(pool, &reader, &options);
  ReadProbes(pool, &reader, &options);
  options.http.log_format = pool.logging().format() == control::v1::Logging::JSON ? LogFormat::kJson : LogFormat::kText;
  options.http.cancel_on_disconnect = pool.cancel_on_disconnect();
  options.access_log = pool.logging().access_log();
  options.error_log = pool.logging().error_log().empty() ? "-" : pool.logging().error_log();
  if (!reader.status().ok()) return reader.status();
  return options;
}

}  // namespace greenring::worker
