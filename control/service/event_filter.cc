#include "control/service/event_filter.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace greenring::control {

bool EventFilter::Wants(const v1::Event& event) const {
  if (pools_.empty() || event.resource().empty()) return true;
  std::string resource = event.resource();
  if (absl::StartsWith(resource, "operations/")) {
    const absl::StatusOr<v1::Operation> operation = plane_->GetOperation(resource);
    if (operation.ok()) resource = operation->target();
  }
  return std::any_of(pools_.begin(), pools_.end(), [&resource](const std::string& pool) {
    return resource == pool || absl::StartsWith(resource, absl::StrCat(pool, "/"));
  });
}

absl::Status CheckHasHappened(ControlPlane* plane, int64_t after_event, const std::string& advice) {
  if (after_event <= 0 || !plane->EventsAfter(after_event - 1).empty()) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat("there was no event ", after_event, " yet: the server has been started anew since; ", advice));
}

}  // namespace greenring::control
