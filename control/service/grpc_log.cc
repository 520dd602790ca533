#include "control/service/grpc_log.h"

#include <cstring>
#include <string>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "grpc/support/log.h"

namespace greenring::control {
namespace {

// gRPC takes a function and nothing beside it.
ABSL_CONST_INIT absl::Mutex mutex(absl::kConstInit);
const ServerLog* log_now ABSL_GUARDED_BY(mutex) = nullptr;

void Write(gpr_log_func_args* args) {
  const char* slash = std::strrchr(args->file, '/');
  const std::string place = absl::StrCat(slash == nullptr ? args->file : slash + 1, ":", args->line);
  const auto severity =
      args->severity == GPR_LOG_SEVERITY_ERROR ? ServerLog::Severity::kError : ServerLog::Severity::kInfo;
  absl::MutexLock lock(&mutex);
  if (log_now == nullptr) return;
  log_now->Write(severity, absl::StrCat("grpc: ", args->message, " (", place, ")"),
                 {{"event", "grpc"}, {"message", args->message}, {"place", place}});
}

}  // namespace

GrpcLog::GrpcLog(const ServerLog* log) {
  {
    absl::MutexLock lock(&mutex);
    GREENRING_CHECK(log_now == nullptr);
    log_now = log;
  }
  gpr_set_log_function(&Write);
}

GrpcLog::~GrpcLog() {
  gpr_set_log_function(nullptr);  // its own
  absl::MutexLock lock(&mutex);
  log_now = nullptr;
}

}  // namespace greenring::control
