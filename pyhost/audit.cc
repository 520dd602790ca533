#include "pyhost/audit.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "pyhost/code_place.h"
#include "pyhost/preemption.h"
#include "pyhost/python.h"
#include "pyhost/python_stack.h"

namespace greenring::pyhost {
namespace {

// The watcher looks no more often, and no less.
constexpr int64_t kPeriodNsMin = kNanosecondsPerMillisecond;
constexpr int64_t kPeriodNsMax = 100 * kNanosecondsPerMillisecond;

// One that has given the GIL up computes for less than this before it waits for it again, or yields. The CPU's time:
// the system may let it wait for that in between.
constexpr int64_t kHandOverNs = 300'000;

int64_t NowNs() { return Clock::Monotonic()->NowNs(); }

AuditFinding::Cause CauseOf(const NativeSample& sample) {
  switch (sample.state) {
    case NativeSample::State::kInSystemCall:
      return AuditFinding::Cause::kSystemCall;
    case NativeSample::State::kInPageFault:
      return AuditFinding::Cause::kPageFault;
    case NativeSample::State::kWaitingForGil:
      return AuditFinding::Cause::kWaitingForGil;
    case NativeSample::State::kComputing:
    case NativeSample::State::kUnknown:
      break;
  }
  return AuditFinding::Cause::kComputing;
}

void SetOnGil(void (*function)()) {
  const PyGILState_STATE gil = PyGILState_Ensure();
  Preemption::SetOnGil(function);
  PyGILState_Release(gil);
}

PythonSwitchHook* StartWatching(PythonSwitchHook* hook) {
  hook->StartWatch();
  return hook;
}

}  // namespace

Audit::Audit(PythonSwitchHook* hook, int64_t threshold_ns)
    : hook_(StartWatching(hook)), threshold_ns_(threshold_ns), watcher_("greenring-audit", [this] { Watch(); }) {
  GREENRING_CHECK(current_ == nullptr);
  current_ = this;
}

Audit::~Audit() {
  current_ = nullptr;
  watcher_.Stop();
  hook_->EndWatch();
  watcher_.Join();
}

void Audit::Watch() {
  SetOnGil(&AnswerWithGil);
  const int64_t period_ns = std::clamp(threshold_ns_ / 5, kPeriodNsMin, kPeriodNsMax);
  Stretch stretch = Begin();
  while (!watcher_.stopping()) {
    hook_->AwaitBusy();
    if (!GoesOn(stretch)) {
      stretch = Begin();
    } else if (NowNs() - stretch.began_ns >= threshold_ns_ && Examine(stretch)) {
      stretch = Begin();
    }
    watcher_.SleepFor(period_ns);
  }
  SetOnGil(nullptr);
}

Audit::Stretch Audit::Begin() const {
  return {.switches = hook_->switch_count(),
          .handle = hook_->running_handle(),
          .began_ns = NowNs(),
          .cpu_began_ns = sampler_.CpuTimeNs()};
}

bool Audit::GoesOn(const Stretch& stretch) const {
  return stretch.handle != 0 && hook_->running_handle() == stretch.handle &&
         hook_->switch_count() == stretch.switches && !hook_->idle();
}

// Rather than kept from running by the system, or having computed before it came to a short wait.
bool Audit::IsBlocking(const Stretch& stretch, const NativeSample& sample) const {
  const int64_t computed_ns = sampler_.CpuTimeNs() - stretch.cpu_began_ns;
  const bool computes = sample.state == NativeSample::State::kComputing;
  return (computes ? computed_ns : NowNs() - stretch.began_ns - computed_ns) >= threshold_ns_;
}

bool Audit::Examine(const Stretch& stretch) {
  const NativeSample sample = sampler_.Take();
  if (sample.state == NativeSample::State::kUnknown || !IsBlocking(stretch, sample) || !GoesOn(stretch)) return false;
  AuditFinding finding;
  finding.cause = CauseOf(sample);
  const int64_t asked_ns = NowNs();
  const int64_t cpu_asked_ns = sampler_.CpuTimeNs();
  Question question{.audit = this, .stretch = stretch, .sample = sample};
  const int64_t patience_ns = Ask(&question);
  finding.gil_held = question.gil_held;
  finding.python_stack = std::move(question.python_stack);
  // Python code, or C code that returned to it in time.
  if (finding.cause == AuditFinding::Cause::kComputing && finding.gil_held &&
      std::min(question.answered_ns - asked_ns, question.cpu_ns - cpu_asked_ns) < patience_ns) {
    return true;
  }
  CodePlace place = Locate(sample);
  finding.library = std::move(place.library);
  finding.function = std::move(place.function);
  if (finding.cause == AuditFinding::Cause::kSystemCall) finding.system_call = SystemCallName(sample.system_call);
  int64_t ended_ns = question.answered_ns;
  if (!finding.gil_held && finding.cause != AuditFinding::Cause::kWaitingForGil) {
    AwaitEnd(stretch, sample);
    ended_ns = NowNs();
  }
  table_.Add(finding, ended_ns - stretch.began_ns);
  return true;
}

// How long Python code may take to give the GIL up.
int64_t Audit::Ask(Question* question) {
  question_.store(question, std::memory_order_release);
  const PyGILState_STATE gil = PyGILState_Ensure();
  AnswerWithGil();
  const int64_t patience_ns = SwitchIntervalNs() + kSlackNs;
  PyGILState_Release(gil);
  return patience_ns;
}

// GIL held, on the OS thread of any watcher.
void Audit::AnswerWithGil() {
  Question* const question = question_.exchange(nullptr, std::memory_order_acquire);
  if (question == nullptr) return;
  Audit* const audit = question->audit;
  question->answered_ns = NowNs();
  question->cpu_ns = audit->sampler_.CpuTimeNs();
  question->gil_held = question->sample.state != NativeSample::State::kWaitingForGil &&
                       audit->KeepsGil(question->stretch, question->sample);
  if (PyThreadState* const state = FindThreadState(question->stretch.handle)) {
    question->python_stack = FormatPythonStack(state, /*indent=*/4);
  }
}

// Whether the thread had the GIL until the caller, which holds it, got it.
bool Audit::KeepsGil(const Stretch& stretch, const NativeSample& sample) {
  if (sample.state != NativeSample::State::kComputing) {
    return !GoesOn(stretch) || !sampler_.Look().IsSameWait(sample);
  }
  const int64_t cpu_until_ns = sampler_.CpuTimeNs() + kHandOverNs;
  do {
    if (!GoesOn(stretch) || sampler_.Look().state == NativeSample::State::kWaitingForGil) return true;
    watcher_.SleepFor(kHandOverNs / 3);
  } while (sampler_.CpuTimeNs() < cpu_until_ns && !watcher_.stopping());
  return false;
}

void Audit::AwaitEnd(const Stretch& stretch, const NativeSample& sample) {
  const bool computes = sample.state == NativeSample::State::kComputing;
  while (!watcher_.stopping() && GoesOn(stretch) && (computes || sampler_.Look().IsSameWait(sample))) {
    watcher_.SleepFor(kPeriodNsMin);
  }
}

}  // namespace greenring::pyhost
