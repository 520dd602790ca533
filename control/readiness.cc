#include "control/readiness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace greenring::control {

bool IsServing(const v1::Pool& pool) {
  switch (pool.status().state()) {
    case v1::PoolStatus::READY:
      return true;
    case v1::PoolStatus::RECONCILING:
      return pool.status().workers_ready() > 0;
    default:
      return false;
  }
}

std::string WhyNotReady(const std::vector<v1::Pool>& pools) {
  const bool any_serves = std::any_of(pools.begin(), pools.end(), IsServing);
  std::string reasons;
  for (const v1::Pool& pool : pools) {
    const bool is_meant = pool.drained() || pool.status().state() == v1::PoolStatus::DELETING;
    if (IsServing(pool) || (is_meant && any_serves)) continue;
    absl::StrAppend(&reasons, DescribeState(pool), "\n");
  }
  return reasons;
}

std::string DescribeState(const v1::Pool& pool) {
  const std::string state = v1::PoolStatus::State_Name(pool.status().state());
  const std::string& message = pool.status().message();
  return absl::StrCat(pool.name(), ": ", state, message.empty() ? "" : ": ",
                      absl::StrReplaceAll(message, {{"\r", " "}, {"\n", " "}}));
}

}  // namespace greenring::control
