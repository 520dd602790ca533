#include "control/service/open_calls.h"

#include <utility>
#include <vector>

namespace greenring::control {
namespace {

grpc::Status Stopping() { return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server stops"); }

}  // namespace

void OpenCalls::Add(std::shared_ptr<OpenCall> call) {
  bool aborted;
  {
    absl::MutexLock lock(&mutex_);
    calls_.emplace(call.get(), call);
    aborted = aborted_;
  }
  if (aborted) call->Abort(Stopping());
}

void OpenCalls::Remove(OpenCall* call) {
  std::shared_ptr<OpenCall> last;  // deleted without the lock
  absl::MutexLock lock(&mutex_);
  const auto found = calls_.find(call);
  if (found == calls_.end()) return;
  last = std::move(found->second);
  calls_.erase(found);
}

void OpenCalls::AbortAll() {
  std::vector<std::shared_ptr<OpenCall>> calls;
  {
    absl::MutexLock lock(&mutex_);
    aborted_ = true;
    for (const auto& [pointer, call] : calls_) calls.push_back(call);
  }
  for (const std::shared_ptr<OpenCall>& call : calls) call->Abort(Stopping());
}

}  // namespace greenring::control
