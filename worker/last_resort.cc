#include "worker/last_resort.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "base/check.h"
#include "base/clock.h"
#include "base/reserved_signals.h"

namespace greenring::worker {
namespace {

std::atomic<int> code{0};
std::atomic<int64_t> patience_ns{0};
std::atomic<bool> armed{false};
std::atomic<bool> exists{false};
timer_t timer;

void OnTimeOver(int) {
  static constexpr char kText[] = "greenring: the drain after a stack overflow does not end; exiting\n";
  if (syscall(SYS_write, STDERR_FILENO, kText, sizeof(kText) - 1) < 0) _exit(code.load());
  _exit(code.load());
}

}  // namespace

LastResort::LastResort(int exit_code) {
  GREENRING_CHECK(!exists.load());
  code.store(exit_code);
  struct sigaction action = {};
  action.sa_handler = &OnTimeOver;
  action.sa_flags = SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = LastResortSignal();
  GREENRING_CHECK(sigaction(LastResortSignal(), &action, nullptr) == 0 &&
                  timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  exists.store(true);
}

LastResort::~LastResort() {
  exists.store(false);
  timer_delete(timer);
  signal(LastResortSignal(), SIG_DFL);
}

void LastResort::SetPatience(int64_t duration_ns) { patience_ns.store(duration_ns); }

void LastResort::Arm() {
  if (!exists.load() || armed.exchange(true)) return;
  const int64_t duration_ns = patience_ns.load();
  itimerspec when = {};
  when.it_value.tv_sec = duration_ns / kNanosecondsPerSecond;
  when.it_value.tv_nsec = duration_ns % kNanosecondsPerSecond;
  timer_settime(timer, 0, &when, nullptr);
}

}  // namespace greenring::worker
