#include "worker/thread_dumper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/futex.h"
#include "green/scoped_wait.h"
#include "green/wait_note.h"
#include "pyhost/gil.h"
#include "pyhost/thread_dump.h"

namespace greenring::worker {
namespace {

std::vector<uint64_t> IdsOf(const green::LockCycle& cycle) {
  std::vector<uint64_t> ids;
  for (const green::GreenThread* member : cycle) ids.push_back(member->id());
  return ids;
}

}  // namespace

ThreadDumper::ThreadDumper(green::Scheduler* scheduler, pyhost::ErrorLog* error_log)
    : scheduler_(scheduler), error_log_(error_log), lock_watch_(scheduler, [this](const green::LockCycle& cycle) {
        cycles_.push_back(IdsOf(cycle));
        if (green::GreenThread* const thread = thread_.load(); thread != nullptr) scheduler_->Unpark(thread);
      }) {}

void ThreadDumper::Start(std::function<void()> on_ended) {
  on_ended_ = std::move(on_ended);
  thread_.store(scheduler_->Spawn([this] { Serve(); }, {.name = "dump"}));
}

void ThreadDumper::Stop() {
  stopping_ = true;
  if (green::GreenThread* const thread = thread_.load(); thread != nullptr) scheduler_->Unpark(thread);
}

void ThreadDumper::Ask() {
  asked_count_.fetch_add(1);
  if (green::GreenThread* const thread = thread_.load(); thread != nullptr) scheduler_->UnparkRemote(thread);
}

void ThreadDumper::Serve() {
  for (;;) {
    if (asked_count_.load() != answered_count_.load()) {
      WriteDump();
    } else if (!cycles_.empty()) {
      WriteCycles();
    } else if (stopping_) {
      break;
    } else {
      const green::ScopedWait noted(scheduler_->current(), {.call = "dump", .kind = green::WaitNote::Kind::kIdle});
      scheduler_->ParkUncancellable();
    }
  }
  thread_.store(nullptr);
  on_ended_();
}

void ThreadDumper::WriteDump() {
  const uint32_t asked = asked_count_.load();
  {
    const pyhost::ScopedPythonThread python;
    error_log_->Message(absl::StrCat("dump of ", pyhost::DumpThreads(*scheduler_)));
  }
  answered_count_.store(asked);
  FutexWake(&answered_count_);
}

void ThreadDumper::WriteCycles() {
  const pyhost::ScopedPythonThread python;  // may park: those who waited may have gone on since
  const std::vector<std::vector<uint64_t>> due = std::exchange(cycles_, {});
  for (const green::LockCycle& cycle : green::FindLockCycles(*scheduler_)) {
    if (std::find(due.begin(), due.end(), IdsOf(cycle)) == due.end()) continue;
    error_log_->Message(pyhost::DescribeLockCycle(cycle));
  }
}

}  // namespace greenring::worker
