#include "pyhost/thread_dump.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/fd_name.h"
#include "green/inspection.h"
#include "pyhost/core_greenlet.h"
#include "pyhost/core_thread.h"
#include "pyhost/current_request.h"
#include "pyhost/python_os_thread.h"
#include "pyhost/python_stack.h"

namespace greenring::pyhost {
namespace {

using green::GreenThread;
using green::ThreadInfo;
using green::WaitNote;

// Of a request's target: the rest tells nothing new.
constexpr size_t kTargetBytesMax = 1000;

constexpr size_t kIdsListedMax = 50;

int64_t NowNs(const green::Scheduler& scheduler) { return scheduler.clock()->NowNs(); }

std::string Seconds(int64_t duration_ns) {
  char text[32];
  snprintf(text, sizeof(text), "%.3f s", static_cast<double>(duration_ns) / kNanosecondsPerSecond);
  return text;
}

std::string Address(const void* object) {
  char text[32];
  snprintf(text, sizeof(text), "0x%" PRIxPTR, reinterpret_cast<uintptr_t>(object));
  return text;
}

// The Python states that there are, by pthread_self's answer: looked up once for all.
std::unordered_map<uintptr_t, PyThreadState*> PythonStates() {
  std::unordered_map<uintptr_t, PyThreadState*> states;
  PyThreadState* state = PyInterpreterState_ThreadHead(PyInterpreterState_Main());
  for (; state != nullptr; state = PyThreadState_Next(state)) states.emplace(state->thread_id, state);
  return states;
}

// What is told of one green thread. `place` is what those in the same place have in common.
struct Block {
  ThreadInfo info;
  std::string head;
  std::string details;
  std::string place;
};

// What was left when an abandoned green thread's stack overflowed refers to what may be gone.
const CurrentRequest* CurrentRequestOf(const GreenThread& thread) {
  return thread.state() == GreenThread::State::kAbandoned ? nullptr : CurrentRequest::Of(&thread);
}

std::string DescribeState(const ThreadInfo& info, int64_t now_ns) {
  std::string text = absl::StrCat(std::string(green::StateName(info.state)), " ", Seconds(info.since_ns));
  if (info.state == GreenThread::State::kParked) {
    absl::StrAppend(&text, " in ", DescribeWait(info.wait, info.holder));
    if (info.deadline_ns != kNeverNs) {
      absl::StrAppend(&text, ", for ", Seconds(std::max<int64_t>(0, info.deadline_ns - now_ns)), " more");
    }
  } else if (info.state == GreenThread::State::kRunnable) {
    text += ", waits for its turn";
    if (info.wait.call != nullptr) absl::StrAppend(&text, " after ", info.wait.call);
  }
  if (info.cancel_pending) text += ", cancelled";
  return text;
}

std::string HeadOf(const ThreadInfo& info, const std::string& state) {
  return absl::StrCat("green thread ", info.id, " \"", info.name, "\": ", state, "\n");
}

std::string AccountsOf(int64_t run_ns, uint64_t switches, size_t stack_used_bytes, size_t stack_size_bytes) {
  return absl::StrCat("  ran ", Seconds(run_ns), " in ", switches, " switches, stack ", stack_used_bytes / 1024, " of ",
                      stack_size_bytes / 1024, " KiB\n");
}

std::string AccountsOf(const ThreadInfo& info) {
  return AccountsOf(info.run_ns, info.switches, info.stack_used_bytes, info.stack_size_bytes);
}

std::string PlaceOf(const ThreadInfo& info) {
  return absl::StrCat(info.name, "|", static_cast<int>(info.state), "|",
                      info.wait.call != nullptr ? info.wait.call : "", "|");
}

// Of one in whose place an OS thread works: what that does, as far as it does not wait for the loop.
void DescribeCoreThread(const CoreThread& core, int64_t now_ns, Block* block) {
  const ThreadInfo& info = block->info;
  const OsThread& os_thread = core.os_thread();
  const OsThread::Look look = os_thread.LookAtIt();
  const bool is_at_work = info.state == GreenThread::State::kParked && info.wait.kind == WaitNote::Kind::kOsThread;
  block->head =
      HeadOf(info, is_at_work ? absl::StrCat("on OS thread ", os_thread.id(), " for ", Seconds(info.since_ns), ", ",
                                             DescribeLook(look))
                              : absl::StrCat(DescribeState(info, now_ns), ", for OS thread ", os_thread.id()));
  block->details = AccountsOf(os_thread.CpuNs(), info.switches, look.stack_used_bytes, os_thread.stack_size_bytes());
  if (is_at_work && look.call != nullptr) block->place = absl::StrCat(look.call, "|");
}

// Of one in whose place a greenlet works.
void DescribeCoreGreenlet(const CoreGreenlet& greenlet, int64_t now_ns, Block* block) {
  const ThreadInfo& info = block->info;
  const uint64_t hub_id = greenlet.hub()->thread()->id();
  block->head =
      HeadOf(info, greenlet.is_current() ? absl::StrCat("its greenlet has green thread ", hub_id)
                                         : absl::StrCat(DescribeState(info, now_ns), " of green thread ", hub_id));
  block->details = AccountsOf(greenlet.RunNs(), greenlet.switches(), info.stack_used_bytes, info.stack_size_bytes);
}

Block BlockOf(const ThreadInfo& info, PyThreadState* state, int64_t now_ns) {
  Block block;
  block.info = info;
  const CoreGreenlet* const greenlet = CoreGreenlet::Of(info.thread);
  if (greenlet != nullptr) {
    DescribeCoreGreenlet(*greenlet, now_ns, &block);
  } else if (const CoreThread* const core = CoreThread::Of(info.thread); core != nullptr) {
    DescribeCoreThread(*core, now_ns, &block);
  } else {
    block.head = HeadOf(info, DescribeState(info, now_ns));
    block.details = AccountsOf(info);
  }
  if (const CurrentRequest* const request = CurrentRequestOf(*info.thread); request != nullptr) {
    std::string about = absl::StrCat("  ", RequestOf(*info.thread), ", for ", Seconds(request->AgeNs()));
    if (request->deadline_ns() != kNeverNs) {
      absl::StrAppend(&about, ", times out in ", Seconds(std::max<int64_t>(0, request->deadline_ns() - now_ns)));
    }
    block.details = about + "\n" + block.details;
  }
  const bool is_whole = state != nullptr && info.state != GreenThread::State::kAbandoned;
  const std::string python = greenlet != nullptr ? greenlet->PythonStack()
                             : is_whole          ? FormatPythonStack(state)
                                                 : std::string();
  absl::StrAppend(&block.details, python);
  block.place += PlaceOf(info) + python;
  return block;
}

// The Python state of whoever does its work.
PyThreadState* TakeStateOf(const GreenThread& thread, std::unordered_map<uintptr_t, PyThreadState*>* states) {
  const CoreThread* const core = CoreThread::Of(&thread);
  const bool is_core = core != nullptr && core->python() != nullptr;
  const auto found = states->find(is_core ? core->python()->state()->thread_id : thread.handle());
  if (found == states->end()) return nullptr;
  PyThreadState* const state = found->second;
  states->erase(found);
  return state;
}

bool IsIdle(const ThreadInfo& info) {
  return info.state == GreenThread::State::kParked && info.wait.kind == WaitNote::Kind::kIdle;
}

class Counts {
 public:
  void Add(const ThreadInfo& info) {
    ++all_;
    if (IsIdle(info)) {
      ++idle_;
    } else if (info.state == GreenThread::State::kParked) {
      ++parked_;
    } else if (info.state == GreenThread::State::kRunnable) {
      ++runnable_;
    } else if (info.state == GreenThread::State::kRunning) {
      ++running_;
    }
  }

  std::string Describe() const {
    return absl::StrCat(all_, " green threads: ", running_, " running, ", runnable_, " runnable, ", parked_,
                        " parked, ", idle_, " idle\n");
  }

 private:
  size_t all_ = 0;
  size_t idle_ = 0;
  size_t parked_ = 0;
  size_t runnable_ = 0;
  size_t running_ = 0;
};

// Adds up to kDumpBytesMax; what goes beyond is counted.
class BoundedText {
 public:
  void Add(const std::string& head, const std::string& details) {
    if (text_.size() + head.size() + details.size() > kDumpBytesMax) {
      ++left_out_;
      return;
    }
    absl::StrAppend(&text_, "\n", head, details);
  }

  std::string Take() {
    if (left_out_ > 0) absl::StrAppend(&text_, "\n", left_out_, " more, which would make this too long\n");
    text_.pop_back();  // the last newline
    return std::move(text_);
  }

  std::string* text() { return &text_; }

 private:
  std::string text_;
  size_t left_out_ = 0;
};

// The ids of those who share the first one's block, and the shortest and longest that they have been there.
std::string DescribeOthers(const std::vector<const Block*>& blocks) {
  int64_t shortest_ns = blocks.front()->info.since_ns;
  int64_t longest_ns = shortest_ns;
  std::string ids;
  for (size_t i = 1; i < blocks.size(); ++i) {
    shortest_ns = std::min(shortest_ns, blocks[i]->info.since_ns);
    longest_ns = std::max(longest_ns, blocks[i]->info.since_ns);
    if (i <= kIdsListedMax) absl::StrAppend(&ids, i > 1 ? ", " : "", blocks[i]->info.id);
  }
  if (blocks.size() > kIdsListedMax + 1) ids += ", ...";
  return absl::StrCat("  and ", blocks.size() - 1, " more in the same place, from ", Seconds(shortest_ns), " to ",
                      Seconds(longest_ns), ": ", ids, "\n");
}

void AddBlocks(const std::vector<Block>& blocks, BoundedText* out) {
  if (blocks.size() <= kSeparateBlocksMax) {
    for (const Block& block : blocks) out->Add(block.head, block.details);
    return;
  }
  std::map<std::string, std::vector<const Block*>> places;
  std::vector<const std::string*> order;  // in which each place comes first
  for (const Block& block : blocks) {
    std::vector<const Block*>& here = places[block.place];
    if (here.empty()) order.push_back(&block.place);
    here.push_back(&block);
  }
  for (const std::string* place : order) {
    const std::vector<const Block*>& here = places[*place];
    const std::string others = here.size() > 1 ? DescribeOthers(here) : std::string();
    out->Add(here.front()->head, here.front()->details + others);
  }
}

}  // namespace

std::string RequestOf(const GreenThread& thread) {
  const CurrentRequest* const request = CurrentRequestOf(thread);
  if (request == nullptr) return "";
  return absl::StrCat(std::string(request->method()), " ", std::string(request->target().substr(0, kTargetBytesMax)));
}

std::string DescribeWait(const WaitNote& wait, green::LockHolders::Holder holder) {
  std::string text = wait.call != nullptr ? wait.call : "a wait without a name";
  if (wait.fd >= 0) absl::StrAppend(&text, ", fd ", wait.fd, " (", FdName(wait.fd), ")");
  if (wait.kind == WaitNote::Kind::kLock) {
    absl::StrAppend(&text, ", lock ", Address(wait.object));
    if (holder.green_thread_id() != 0) {
      absl::StrAppend(&text, " held by green thread ", holder.green_thread_id());
    } else if (holder.os_thread_id() != 0) {
      absl::StrAppend(&text, " held by OS thread ", holder.os_thread_id());
    }
  } else if (wait.object != nullptr) {
    absl::StrAppend(&text, " at ", Address(wait.object));
  }
  return text;
}

std::string DescribeLockCycle(const green::LockCycle& cycle) {
  const auto states = PythonStates();
  std::string text =
      absl::StrCat("probably a deadlock: ", cycle.size(), " green threads wait for each other's locks\n");
  for (const GreenThread* member : cycle) {
    const ThreadInfo info = green::Inspect(*member);
    const auto state = states.find(member->handle());
    const Block block = BlockOf(info, state != states.end() ? state->second : nullptr, NowNs(*member->scheduler()));
    absl::StrAppend(&text, block.head, block.details);
  }
  text.pop_back();
  return text;
}

std::string DumpThreads(const green::Scheduler& scheduler) {
  auto states = PythonStates();
  const int64_t now_ns = NowNs(scheduler);
  Counts counts;
  std::vector<Block> blocks;
  for (const ThreadInfo& info : green::InspectThreads(scheduler)) {
    counts.Add(info);
    PyThreadState* const state = TakeStateOf(*info.thread, &states);
    if (!IsIdle(info)) blocks.push_back(BlockOf(info, state, now_ns));
  }
  BoundedText out;
  *out.text() = counts.Describe();
  for (const green::LockCycle& cycle : green::FindLockCycles(scheduler)) out.Add(DescribeLockCycle(cycle), "\n");
  AddBlocks(blocks, &out);
  for (const auto& [id, state] : states) {
    const std::string python = FormatPythonStack(state);
    if (!python.empty()) out.Add(absl::StrCat("OS thread ", Address(reinterpret_cast<void*>(id)), ":\n"), python);
  }
  return out.Take();
}

std::string DumpThreadsFromOutside(const green::Scheduler& scheduler) {
  const int64_t now_ns = NowNs(scheduler);
  Counts counts;
  BoundedText out;
  std::vector<Block> blocks;
  for (const ThreadInfo& info : green::InspectThreads(scheduler)) {
    counts.Add(info);
    if (IsIdle(info)) continue;
    blocks.push_back({info, HeadOf(info, DescribeState(info, now_ns)), AccountsOf(info), PlaceOf(info)});
  }
  *out.text() = counts.Describe();
  AddBlocks(blocks, &out);
  return out.Take();
}

}  // namespace greenring::pyhost
