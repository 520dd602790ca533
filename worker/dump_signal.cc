#include "worker/dump_signal.h"

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/reserved_signals.h"
#include "ioloop/posix/interposer.h"
#include "pyhost/stack_signal.h"
#include "pyhost/thread_dump.h"

namespace greenring::worker {
namespace {

constexpr int kFramesMax = 64;

std::atomic<ThreadDumper*> asked_dumper{nullptr};
std::atomic<pid_t> server_pid{0};

// The native stack of the thread that gets the signal from our watcher.
void* frames[kFramesMax];
std::atomic<uint32_t> frame_count{0};

bool AwaitUntil(const std::atomic<uint32_t>& word, uint32_t wanted, int64_t timeout_ns) {
  const int64_t deadline_ns = Clock::Monotonic()->NowNs() + timeout_ns;
  for (;;) {
    const uint32_t value = word.load();
    if (value == wanted) return true;
    const int64_t left_ns = deadline_ns - Clock::Monotonic()->NowNs();
    if (left_ns <= 0) return false;
    FutexWait(word, value, left_ns);
  }
}

void OnSignal(int signal_number, siginfo_t* info, void*) {
  if (getpid() != server_pid.load()) {  // a child of fork
    signal(signal_number, SIG_DFL);
    raise(signal_number);  // when this has returned
    return;
  }
  if (info->si_code == SI_QUEUE && info->si_value.sival_ptr == frames) {
    frame_count.store(static_cast<uint32_t>(backtrace(frames, kFramesMax)));
    FutexWake(&frame_count);
    return;
  }
  if (ThreadDumper* const dumper = asked_dumper.load(); dumper != nullptr) {
    dumper->Ask();
    FutexWake(&dumper->asked_count());
  }
}

bool IsOurs(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &OnSignal;
}

}  // namespace

DumpSignal::DumpSignal(LogFile* error_file) : error_file_(error_file), error_log_(error_file), process_(getpid()) {
  backtrace(frames, kFramesMax);  // loads its library, which a handler must not
  server_pid.store(process_);
  struct sigaction action = {};
  action.sa_sigaction = &OnSignal;
  action.sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, nullptr);
}

DumpSignal::~DumpSignal() {
  Unwatch();
  struct sigaction action = {};
  if (sigaction(SIGUSR1, nullptr, &action) == 0 && IsOurs(action)) signal(SIGUSR1, SIG_DFL);
}

void DumpSignal::Watch(ThreadDumper* dumper, const green::Scheduler* scheduler) {
  dumper_ = dumper;
  scheduler_ = scheduler;
  pyhost::RegisterStackSignal(StackSignal(), error_file_->fd());
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  watcher_ = std::thread([this] { WatchDumps(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  asked_dumper.store(dumper);
}

void DumpSignal::Unwatch() {
  if (!watcher_.joinable()) return;
  asked_dumper.store(nullptr);
  if (getpid() != process_) {
    new std::thread(std::move(watcher_));  // it stayed behind in the parent, and can be neither joined nor detached
    return;
  }
  stop_.store(true);
  dumper_->Ask();  // what it waits for
  FutexWake(&dumper_->asked_count());
  watcher_.join();
}

void DumpSignal::WatchDumps() {
  for (;;) {
    const uint32_t answered = dumper_->answered_count().load();
    const uint32_t asked = dumper_->asked_count().load();
    if (stop_.load()) return;
    if (asked == answered) {
      FutexWait(dumper_->asked_count(), asked, kNeverNs);
      continue;
    }
    if (AwaitUntil(dumper_->answered_count(), asked, kPatienceNs)) continue;
    // Answered, or asked for once more meanwhile: the loop thread is there.
    if (stop_.load() || dumper_->answered_count().load() != answered) continue;
    WriteFromOutside();
    while (!stop_.load() && dumper_->answered_count().load() == answered) {
      FutexWait(dumper_->answered_count(), answered, kPatienceNs);
    }
  }
}

void DumpSignal::WriteFromOutside() {
  error_log_.Message(
      "SIGUSR1: the loop thread does not answer: it is in C code, or blocked in a call that is not intercepted");
  WriteNativeStack();
  WritePythonStack();
  error_log_.Message(absl::StrCat("dump from outside of ", pyhost::DumpThreadsFromOutside(*scheduler_)));
}

void DumpSignal::WriteNativeStack() {
  struct sigaction action = {};
  if (sigaction(SIGUSR1, nullptr, &action) != 0 || !IsOurs(action)) return;
  frame_count.store(0);
  sigval value = {};
  value.sival_ptr = frames;
  if (pthread_sigqueue(scheduler_->runs_on(), SIGUSR1, value) != 0) return;
  FutexWait(frame_count, 0u, kPatienceNs);
  const int count = static_cast<int>(frame_count.load());
  if (count == 0) return error_log_.Message("the loop thread takes no signal: it is in the kernel");
  char** const names = backtrace_symbols(frames, count);
  std::string text = "the loop thread's stack in C, innermost first:\n";
  for (int i = 0; i < count; ++i) absl::StrAppend(&text, "  ", names != nullptr ? names[i] : "?", "\n");
  std::free(names);
  error_log_.Message(text);
}

void DumpSignal::WritePythonStack() {
  struct sigaction action = {};
  if (sigaction(StackSignal(), nullptr, &action) != 0 || action.sa_handler == SIG_DFL) return;
  error_log_.Message("the loop thread's stack in Python, innermost first:");
  pthread_kill(scheduler_->runs_on(), StackSignal());
  const timespec written = {0, 50 * kNanosecondsPerMillisecond};  // nobody tells when it is
  posix::real::nanosleep(&written, nullptr);
}

}  // namespace greenring::worker
