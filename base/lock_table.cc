#include "base/lock_table.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace greenring {

void LockTable::Lock(int lock, Holder holder, std::function<void()> granted) {
  GREENRING_CHECK(holder != kNobody);
  const auto [found, free] = locks_.try_emplace(lock, State{.holder = holder, .line = {}});
  if (free) return granted();
  found->second.line.push_back({holder, std::move(granted)});
}

absl::Status LockTable::Unlock(int lock, Holder holder) {
  const auto found = locks_.find(lock);
  if (found == locks_.end()) return absl::FailedPreconditionError(absl::StrCat("nobody holds lock ", lock));
  if (found->second.holder != holder) {
    return absl::FailedPreconditionError(absl::StrCat("another worker holds lock ", lock, ", not this one"));
  }
  PassOn(found);
  return absl::OkStatus();
}

void LockTable::Drop(Holder holder) {
  for (auto& [lock, state] : locks_) {
    std::erase_if(state.line, [holder](const Waiter& waiter) { return waiter.holder == holder; });
  }
  std::vector<int> held;
  for (const auto& [lock, state] : locks_) {
    if (state.holder == holder) held.push_back(lock);
  }
  // Whoever is granted one may unlock it at once.
  for (const int lock : held) {
    const auto found = locks_.find(lock);
    if (found != locks_.end() && found->second.holder == holder) PassOn(found);
  }
}

LockTable::Holder LockTable::HolderOf(int lock) const {
  const auto found = locks_.find(lock);
  return found != locks_.end() ? found->second.holder : kNobody;
}

void LockTable::PassOn(std::map<int, State>::iterator lock) {
  State& state = lock->second;
  if (state.line.empty()) {
    locks_.erase(lock);
    return;
  }
  const Waiter next = std::move(state.line.front());
  state.line.pop_front();
  state.holder = next.holder;
  next.granted();
}

}  // namespace greenring
