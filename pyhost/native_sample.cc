#include "pyhost/native_sample.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/reserved_signals.h"
#include "base/sanitizers.h"
#include "green/green_thread.h"
#include "green/scheduler.h"
#include "green/stack_slab.h"

namespace greenring::pyhost {
namespace {

// Callers further up are not looked for: 32 KiB, more than most libraries' buffers.
constexpr size_t kStackWordsMax = 4096;

// What the signal handler and the one who asks share.
struct Answer {
  std::atomic<int> answered{0};  // what futex(2) waits for; 0 while it is asked for
  uintptr_t program_counter = 0;
  uintptr_t stack_pointer = 0;
  size_t word_count = 0;
  uintptr_t words[kStackWordsMax];
};
Answer answer;
constinit std::atomic<bool> sampled{false};

// The end of the stack that the calling thread is on, as far as it may be read; 0: not known.
uintptr_t StackEnd() {
  const green::GreenThread* thread = green::GreenThread::Current();
  return thread != nullptr ? reinterpret_cast<uintptr_t>(thread->stack().top()) : 0;
}

// Async-signal-safe. It reads the whole stack, whatever sanitizers say of parts of it.
GREENRING_UNINSTRUMENTED void OnSampleSignal(int, siginfo_t*, void* context) {
  if (answer.answered.load(std::memory_order_acquire) != 0) return;  // late, or of somebody else
  const auto* registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  answer.program_counter = static_cast<uintptr_t>(registers[REG_RIP]);
  answer.stack_pointer = static_cast<uintptr_t>(registers[REG_RSP]);
  const uintptr_t end = StackEnd();
  answer.word_count = 0;
  if (answer.stack_pointer < end && end - answer.stack_pointer <= green::kStackSizeBytesMax) {
    answer.word_count = std::min(kStackWordsMax, (end - answer.stack_pointer) / sizeof(uintptr_t));
    const auto* from = reinterpret_cast<const volatile uintptr_t*>(answer.stack_pointer);
    for (size_t i = 0; i < answer.word_count; ++i) answer.words[i] = from[i];
  }
  answer.answered.store(1, std::memory_order_release);
  const int error = errno;
  FutexWake(&answer.answered);
  errno = error;
}

UniqueFd OpenOwn(const std::string& path) { return UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC)); }

}  // namespace

NativeSampler::NativeSampler()
    : process_(getpid()),
      thread_(gettid()),
      gil_(GilMemory()),
      system_call_file_(OpenOwn(absl::StrCat("/proc/self/task/", thread_, "/syscall"))),
      memory_file_(OpenOwn("/proc/self/mem")) {
  GREENRING_CHECK(!sampled.exchange(true));
  answer.answered.store(1);
  struct sigaction action {};
  action.sa_sigaction = &OnSampleSignal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  GREENRING_CHECK(sigaction(kSampleSignal, &action, &action_before_) == 0);
}

NativeSampler::~NativeSampler() {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;  // one may be on its way
  sigaction(kSampleSignal, &ignore, nullptr);
  sampled.store(false);
}

NativeSample NativeSampler::Look() const {
  NativeSample sample;
  char text[256];
  const ssize_t length = pread(system_call_file_.get(), text, sizeof(text) - 1, 0);
  if (length <= 0) return sample;
  text[length] = '\0';
  if (std::strncmp(text, "running", 7) == 0) {
    sample.state = NativeSample::State::kComputing;
    return sample;
  }
  long number = -1;
  uintptr_t argument = 0;
  if (std::sscanf(text, "%ld %" SCNxPTR " %*s %*s %*s %*s %*s %" SCNxPTR " %" SCNxPTR, &number, &argument,
                  &sample.stack_pointer, &sample.program_counter) == 4) {
    sample.system_call = static_cast<int>(number);
    const bool is_gil = number == SYS_futex && argument - reinterpret_cast<uintptr_t>(gil_.begin) < gil_.size_bytes;
    sample.state = is_gil ? NativeSample::State::kWaitingForGil : NativeSample::State::kInSystemCall;
  } else if (std::sscanf(text, "-1 %" SCNxPTR " %" SCNxPTR, &sample.stack_pointer, &sample.program_counter) == 2) {
    sample.state = NativeSample::State::kInPageFault;
  }
  return sample;
}

NativeSample NativeSampler::Take() {
  NativeSample sample = Look();
  if (sample.state == NativeSample::State::kComputing) {
    AskByTheSignal(&sample);
  } else if (sample.state != NativeSample::State::kUnknown) {
    ReadStack(&sample);
  }
  return sample;
}

void NativeSampler::AskByTheSignal(NativeSample* sample) {
  answer.answered.store(0, std::memory_order_release);
  syscall(SYS_tgkill, process_, thread_, kSampleSignal);
  const int64_t until_ns = Clock::Monotonic()->NowNs() + kSignalPatienceNs;
  while (answer.answered.load(std::memory_order_acquire) == 0) {
    const int64_t left_ns = until_ns - Clock::Monotonic()->NowNs();
    int asked = 0;
    if (left_ns <= 0 && answer.answered.compare_exchange_strong(asked, 1)) return;
    FutexWait(answer.answered, 0, std::max<int64_t>(left_ns, 1));
  }
  sample->program_counter = answer.program_counter;
  sample->stack_pointer = answer.stack_pointer;
  sample->stack_words.assign(answer.words, answer.words + answer.word_count);
}

void NativeSampler::ReadStack(NativeSample* sample) const {
  sample->stack_words.resize(kStackWordsMax);
  const ssize_t length = pread(memory_file_.get(), sample->stack_words.data(), kStackWordsMax * sizeof(uintptr_t),
                               static_cast<off_t>(sample->stack_pointer));
  sample->stack_words.resize(length > 0 ? static_cast<size_t>(length) / sizeof(uintptr_t) : 0);
}

int64_t NativeSampler::CpuTimeNs() const {
  // What pthread_getcpuclockid makes of a thread's number.
  const clockid_t clock = static_cast<clockid_t>(~static_cast<unsigned>(thread_) << 3 | 6);
  timespec now = {};
  clock_gettime(clock, &now);
  return now.tv_sec * kNanosecondsPerSecond + now.tv_nsec;
}

}  // namespace greenring::pyhost
