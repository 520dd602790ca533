// FillDefaults: what holds where nothing was said.
#include <sys/types.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/config/pool_config.h"
#include "control/config/pool_limits.h"
#include "control/config/quantities.h"

namespace greenring::control {
namespace {

constexpr char kPoolPrefix[] = "pools/";

void FillStackSize(v1::Pool* pool) {
  const int64_t bytes = pool->stack_pages() * kStackPageBytes;
  const bool possible = bytes >= kStackSizeBytesMin && bytes <= kStackSizeBytesMax;
  // What is wrong, or says two things, stays for Validate to find.
  if (possible && (pool->stack_size_bytes() == 0 || pool->stack_size_bytes() == bytes)) {
    pool->set_stack_size_bytes(bytes);
    pool->clear_stack_pages();
  }
  if (pool->stack_size_bytes() == 0 && pool->stack_pages() == 0) pool->set_stack_size_bytes(kStackSizeBytesDefault);
}

void FillListeners(v1::Pool* pool) {
  if (pool->listeners().empty()) pool->add_listeners()->set_address(kListenerDefault);
  for (v1::Listener& listener : *pool->mutable_listeners()) {
    if (listener.protocol() == v1::Listener::PROTOCOL_UNSPECIFIED) listener.set_protocol(v1::Listener::HTTP);
    if (listener.backlog() == 0) listener.set_backlog(kBacklogDefault);
    const bool is_unix = absl::StartsWith(listener.address(), "unix:");
    if (is_unix && listener.unix_mode().empty()) listener.set_unix_mode("666");
  }
}

void FillTimeouts(v1::Timeouts* timeouts) {
  timeouts->mutable_request();  // 0: none
  if (!timeouts->has_request_grace()) *timeouts->mutable_request_grace() = ToProto(kRequestGraceDefault);
  if (!timeouts->has_keepalive()) *timeouts->mutable_keepalive() = ToProto(kKeepaliveDefault);
  if (!timeouts->has_header()) *timeouts->mutable_header() = ToProto(kHeaderDefault);
  if (!timeouts->has_io()) *timeouts->mutable_io() = ToProto(kIoDefault);
  if (!timeouts->has_drain()) *timeouts->mutable_drain() = ToProto(kDrainDefault);
  if (!timeouts->has_start()) *timeouts->mutable_start() = ToProto(kStartDefault);
}

void FillLimits(v1::Limits* limits) {
  if (limits->request_line_bytes() == 0) limits->set_request_line_bytes(kRequestLineBytesDefault);
  if (limits->request_fields() == 0) limits->set_request_fields(kRequestFieldsDefault);
  if (limits->request_field_bytes() == 0) limits->set_request_field_bytes(kRequestLineBytesDefault);
}

}  // namespace

void FillDefaults(v1::Pool* pool) {
  if (!pool->name().empty() && pool->name().find('/') == std::string::npos) {
    pool->set_name(absl::StrCat(kPoolPrefix, pool->name()));
  }
  pool->mutable_application();
  FillListeners(pool);
  if (pool->workers() == 0) pool->set_workers(kWorkersDefault);
  if (pool->async_cores() == 0) pool->set_async_cores(kAsyncCoresDefault);
  if (pool->engine() == v1::ENGINE_UNSPECIFIED) pool->set_engine(v1::UCONTEXT);
  FillStackSize(pool);
  if (!pool->has_queue_depth_max()) pool->set_queue_depth_max(kQueueDepthDefault);
  if (pool->python_threads() == v1::PYTHON_THREADS_UNSPECIFIED) pool->set_python_threads(v1::OS);
  if (!pool->has_time_slice()) *pool->mutable_time_slice() = ToProto(kTimeSliceDefault);
  v1::Audit* audit = pool->mutable_audit();
  if (!audit->has_threshold()) *audit->mutable_threshold() = ToProto(kAuditThresholdDefault);
  v1::CpuAffinity* affinity = pool->mutable_cpu_affinity();
  if (affinity->policy() == v1::CpuAffinity::POLICY_UNSPECIFIED) affinity->set_policy(v1::CpuAffinity::NONE);
  FillTimeouts(pool->mutable_timeouts());
  FillLimits(pool->mutable_limits());
  pool->mutable_recycling()->mutable_lifetime_max();  // 0: for ever
  v1::Logging* logging = pool->mutable_logging();
  if (logging->error_log().empty()) logging->set_error_log("-");
  if (logging->format() == v1::Logging::FORMAT_UNSPECIFIED) logging->set_format(v1::Logging::TEXT);
  pool->mutable_probes();
  pool->mutable_uwsgi_api();
  pool->mutable_gevent();
}

std::string DefaultControlAddress() {
  if (geteuid() == 0) return "unix:/run/greenring.sock";
  const char* directory = std::getenv("XDG_RUNTIME_DIR");
  if (directory != nullptr && directory[0] == '/') return absl::StrCat("unix:", directory, "/greenring.sock");
  return absl::StrCat("unix:/tmp/greenring-", geteuid(), ".sock");
}

void FillDefaults(v1::Configuration* configuration) {
  for (v1::Pool& pool : *configuration->mutable_pools()) FillDefaults(&pool);
  v1::Control* control = configuration->mutable_control();
  if (control->addresses().empty()) control->add_addresses(DefaultControlAddress());
  configuration->mutable_metrics();
  if (configuration->log_format() == v1::Logging::FORMAT_UNSPECIFIED) configuration->set_log_format(v1::Logging::TEXT);
}

}  // namespace greenring::control
