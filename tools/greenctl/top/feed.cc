#include "tools/greenctl/top/feed.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/config/quantities.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/resource_name.h"

namespace greenring::greenctl {
namespace {

constexpr absl::Duration kRetry = absl::Milliseconds(500);
constexpr int kRequestsMax = 1000;  // more than anybody scrolls through

}  // namespace

Feed::Feed(Client* client, std::vector<std::string> pools, absl::Duration interval, SharedModel* shared)
    : client_(client),
      pools_(std::move(pools)),
      interval_(interval),
      shared_(shared),
      watcher_([this] { WatchStatistics(); }),
      poller_([this] { Poll(); }) {}

Feed::~Feed() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  watch_.Cancel();
  client_->EndCalls();
  watcher_.join();
  poller_.join();
}

void Feed::Do(const Model::Action& action) {
  absl::MutexLock lock(&mutex_);
  actions_.push_back(action);
}

bool Feed::Sleep(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&stop_), duration);
  return !stop_;
}

void Feed::WatchStatistics() {
  v1::WatchRequest request;
  for (const std::string& pool : pools_) request.add_pools(pool);
  *request.mutable_statistics_interval() = control::ToProto(interval_);
  do {
    const absl::Status status = client_->Watch(request, &watch_, [this](const v1::WatchResponse& response) {
      absl::MutexLock lock(&shared_->mutex);
      if (response.has_statistics()) shared_->model.OnStatistics(response.statistics());
      return true;
    });
    absl::MutexLock lock(&shared_->mutex);
    shared_->model.OnLost(status.ok() ? "the server has ended" : std::string(status.message()));
  } while (Sleep(kRetry));
}

void Feed::Poll() {
  while (true) {
    Ask();
    const absl::Time next = absl::Now() + interval_;
    while (absl::Now() < next) {
      std::vector<Model::Action> actions;
      {
        absl::MutexLock lock(&mutex_);
        auto awake = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stop_ || !actions_.empty(); };
        mutex_.AwaitWithDeadline(absl::Condition(&awake), next);
        if (stop_) return;
        actions.swap(actions_);
      }
      for (const Model::Action& action : actions) Perform(action);
    }
  }
}

void Feed::Ask() {
  const absl::StatusOr<v1::Server> server = client_->GetServer();
  if (!server.ok()) {
    absl::MutexLock lock(&shared_->mutex);
    shared_->model.OnLost(std::string(server.status().message()));
    return;
  }
  absl::StatusOr<v1::ListPoolsResponse> pools = client_->ListPools();
  v1::ListRequestsResponse requests;
  for (const std::string& pool : pools_.empty() ? std::vector<std::string>{"pools/-"} : pools_) {
    const absl::StatusOr<v1::ListRequestsResponse> some =
        client_->ListRequests(absl::StrCat(pool, "/workers/-"), absl::ZeroDuration(), kRequestsMax);
    if (some.ok()) requests.MergeFrom(*some);
  }
  if (pools.ok() && !pools_.empty()) {
    auto* all = pools->mutable_pools();
    all->erase(
        std::remove_if(all->begin(), all->end(),
                       [this](const v1::Pool& pool) { return !std::count(pools_.begin(), pools_.end(), pool.name()); }),
        all->end());
  }
  absl::MutexLock lock(&shared_->mutex);
  shared_->model.OnServer(*server);
  if (pools.ok()) shared_->model.OnPools(*pools);
  shared_->model.OnRequests(requests);
}

void Feed::Perform(const Model::Action& action) {
  if (action.kind == Model::Action::kCancel) {
    const absl::Status status = client_->CancelRequest(action.request, "");
    absl::MutexLock lock(&shared_->mutex);
    shared_->model.OnMessage(
        absl::StrCat(ShortName(action.request), status.ok() ? " cancelled" : ": ", std::string(status.message())));
  } else if (action.kind == Model::Action::kShowStack) {
    const absl::StatusOr<v1::Stack> stack = client_->GetStack(action.request);
    absl::MutexLock lock(&shared_->mutex);
    shared_->model.OnStack(action.request, stack.ok() ? stack->python() : std::string(stack.status().message()));
  }
}

}  // namespace greenring::greenctl
