#include "tools/greenctl/top/model.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config/quantities.h"
#include "tools/greenctl/human.h"
#include "tools/greenctl/resource_name.h"
#include "tools/greenctl/top/screen.h"

namespace greenring::greenctl {
namespace {

constexpr int kPage = 10;  // lines that PageUp and PageDown move by

// Numbers within names count as numbers: web/2 comes before web/10.
bool NameLess(const std::string& a, const std::string& b) {
  const std::vector<absl::string_view> left = absl::StrSplit(a, '/');
  const std::vector<absl::string_view> right = absl::StrSplit(b, '/');
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (left[i] == right[i]) continue;
    // Worker and request numbers are where the odd segments are, from the second on.
    if (i >= 3 && i % 2 == 1 && left[i].size() != right[i].size()) return left[i].size() < right[i].size();
    return left[i] < right[i];
  }
  return left.size() < right.size();
}

bool Before(RequestOrder order, const v1::Request& a, const v1::Request& b) {
  switch (order) {
    case RequestOrder::kAge:
      return control::FromProto(a.age()) > control::FromProto(b.age());
    case RequestOrder::kCpu:
      return control::FromProto(a.cpu_time()) > control::FromProto(b.cpu_time());
    case RequestOrder::kStack:
      return a.stack_use_bytes() > b.stack_use_bytes();
    case RequestOrder::kName:
      return NameLess(a.name(), b.name());
  }
  return false;
}

}  // namespace

void Model::OnServer(const v1::Server& server) {
  server_ = server;
  problem_.clear();
}

void Model::OnPools(const v1::ListPoolsResponse& pools) {
  problem_.clear();
  if (paused_) return;
  pools_.clear();
  for (const v1::Pool& pool : pools.pools()) pools_[pool.name()] = pool;
  if (!pools_.count(pool_filter_)) pool_filter_.clear();
}

void Model::OnStatistics(const v1::PoolStatistics& statistics) {
  problem_.clear();
  if (paused_) return;
  Meter& meter = meters_[statistics.pool()];
  meter.Look(statistics);
  pool_statistics_[statistics.pool()] = {statistics.total(), meter.pool()};
  std::set<std::string> present;
  for (const v1::WorkerStatistics& worker : statistics.workers()) {
    present.insert(worker.worker());
    worker_statistics_[worker.worker()] = {worker.statistics(), meter.worker(worker.worker())};
  }
  for (auto it = worker_statistics_.begin(); it != worker_statistics_.end();) {
    const bool has_gone = PoolOf(it->first) == statistics.pool() && !present.count(it->first);
    it = has_gone ? worker_statistics_.erase(it) : std::next(it);
  }
}

void Model::OnRequests(const v1::ListRequestsResponse& requests) {
  problem_.clear();
  if (paused_) return;
  requests_.assign(requests.requests().begin(), requests.requests().end());
}

void Model::OnLost(const std::string& problem) { problem_ = problem; }

void Model::OnStack(const std::string& request, const std::string& text) {
  if (stack_.request != request) return;
  absl::string_view rest = text;
  while (!rest.empty() && rest.back() == '\n') rest.remove_suffix(1);
  stack_.lines = absl::StrSplit(Printable(rest, /*lines=*/true), '\n');
}

bool Model::IsShown(const std::string& name) const { return pool_filter_.empty() || PoolOf(name) == pool_filter_; }

std::vector<Model::PoolView> Model::Pools() const {
  std::vector<PoolView> pools;
  for (const auto& [name, pool] : pools_) {
    const auto measured = pool_statistics_.find(name);
    pools.push_back({pool, measured == pool_statistics_.end() ? Measured() : measured->second});
  }
  return pools;
}

std::vector<Model::WorkerView> Model::Workers() const {
  std::vector<WorkerView> workers;
  for (const auto& [name, measured] : worker_statistics_) {
    if (IsShown(name) && pools_.count(PoolOf(name)))
      workers.push_back({name, pools_.at(PoolOf(name)).async_cores(), measured});
  }
  std::sort(workers.begin(), workers.end(),
            [](const WorkerView& a, const WorkerView& b) { return NameLess(a.name, b.name); });
  return workers;
}

std::vector<v1::Request> Model::Requests() const {
  std::vector<v1::Request> requests;
  for (const v1::Request& request : requests_) {
    if (IsShown(request.name())) requests.push_back(request);
  }
  std::stable_sort(requests.begin(), requests.end(),
                   [this](const v1::Request& a, const v1::Request& b) { return Before(order_, a, b); });
  return requests;
}

std::vector<std::string> Model::NamesOf(Section section) const {
  std::vector<std::string> names;
  if (section == Section::kPools) {
    for (const auto& [name, pool] : pools_) names.push_back(name);
  } else if (section == Section::kWorkers) {
    for (const WorkerView& worker : Workers()) names.push_back(worker.name);
  } else {
    for (const v1::Request& request : Requests()) names.push_back(request.name());
  }
  return names;
}

std::string Model::selected(Section section) const {
  const std::vector<std::string> names = NamesOf(section);
  if (names.empty()) return "";
  std::string& selected = selected_[section];
  if (!std::count(names.begin(), names.end(), selected)) selected = names[0];
  return selected;
}

void Model::Toggle(Section section) {
  shown_[section] = !shown_[section];
  if (shown_[section]) {
    focus_ = section;
  } else if (focus_ == section) {
    MoveFocus();
  }
}

void Model::MoveFocus() {
  for (int i = 0; i < 3; ++i) {
    focus_ = static_cast<Section>((static_cast<int>(focus_) + 1) % 3);
    if (shown_[focus_]) return;
  }
}

void Model::Move(int by) {
  const std::vector<std::string> names = NamesOf(focus_);
  if (names.empty()) return;
  const auto at = std::find(names.begin(), names.end(), selected(focus_)) - names.begin();
  selected_[focus_] = names[std::clamp<int64_t>(at + by, 0, static_cast<int64_t>(names.size()) - 1)];
}

Model::Action Model::Enter() {
  if (focus_ == Section::kRequests) {
    stack_ = {.request = selected(Section::kRequests), .lines = {"asking the worker ..."}};
    if (!stack_.request.empty()) return {Action::kShowStack, stack_.request};
  } else if (focus_ == Section::kPools) {
    pool_filter_ = pool_filter_.empty() ? selected(Section::kPools) : "";
  } else {
    pool_filter_ = pool_filter_.empty() ? PoolOf(selected(Section::kWorkers)) : "";
  }
  return {};
}

Model::Action Model::OnAnswer(int key) {
  const std::string request = std::exchange(cancel_question_, "");
  if (key == 'y' || key == 'Y') return {Action::kCancel, request};
  message_ = "not cancelled";
  return {};
}

void Model::OnStackKey(int key) {
  const size_t last = stack_.lines.empty() ? 0 : stack_.lines.size() - 1;
  auto scroll = [&](int by) {
    stack_.first_line = static_cast<size_t>(
        std::clamp<int64_t>(static_cast<int64_t>(stack_.first_line) + by, 0, static_cast<int64_t>(last)));
  };
  if (key == kKeyUp) scroll(-1);
  if (key == kKeyDown) scroll(1);
  if (key == kKeyPageUp) scroll(-kPage);
  if (key == kKeyPageDown) scroll(kPage);
  if (key == kKeyEscape || key == 'q' || key == 't' || key == kKeyEnter) stack_ = {};
}

Model::Action Model::OnKey(int key) {
  if (key == kKeyNone || key == kKeyResize) return {};
  message_.clear();
  if (help_) {
    help_ = false;
    return {};
  }
  if (!cancel_question_.empty()) return OnAnswer(key);
  if (!stack_.request.empty()) {
    if (key == 'k') {
      cancel_question_ = stack_.request;
    } else {
      OnStackKey(key);
    }
    return {};
  }
  switch (key) {
    case 'q':
      return {Action::kQuit, ""};
    case 'p':
      Toggle(Section::kPools);
      break;
    case 'w':
      Toggle(Section::kWorkers);
      break;
    case 'r':
      Toggle(Section::kRequests);
      break;
    case 's':
      order_ = static_cast<RequestOrder>((static_cast<int>(order_) + 1) % 4);
      break;
    case ' ':
      paused_ = !paused_;
      break;
    case '?':
    case 'h':
      help_ = true;
      break;
    case 'k':
      cancel_question_ = selected(Section::kRequests);
      if (cancel_question_.empty()) message_ = "there is no request to cancel";
      break;
    case 't':
      focus_ = Section::kRequests;
      return Enter();
    case kKeyEnter:
      return Enter();
    case kKeyEscape:
      pool_filter_.clear();
      break;
    case kKeyTab:
      MoveFocus();
      break;
    case kKeyUp:
    case kKeyDown:
      Move(key == kKeyUp ? -1 : 1);
      break;
    case kKeyPageUp:
    case kKeyPageDown:
      Move(key == kKeyPageUp ? -kPage : kPage);
      break;
    default:
      break;
  }
  return {};
}

}  // namespace greenring::greenctl
