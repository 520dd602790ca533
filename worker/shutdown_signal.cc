#include "worker/shutdown_signal.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "base/check.h"
#include "ioloop/posix/interposer.h"

namespace greenring::worker {
namespace {

std::atomic<int> first_signal{0};
std::atomic<int> wake_fd{-1};
std::atomic<pid_t> server_pid{0};

// In a child of fork, which has the handlers too: it is none of a server.
bool IsForeign(int signal_number) {
  if (getpid() == server_pid.load()) return false;
  signal(signal_number, SIG_DFL);
  raise(signal_number);  // when the handler has returned
  return true;
}

// Not SIG_IGN, which the programs that the application starts would inherit.
void OnUnheededSignal(int signal_number) { IsForeign(signal_number); }

void OnSignal(int signal_number) {
  if (IsForeign(signal_number)) return;
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, signal_number)) _exit(128 + signal_number);
  const uint64_t one = 1;
  if (posix::real::write(wake_fd.load(), &one, sizeof(one)) < 0) return;  // the counter is full: it is readable anyway
}

}  // namespace

ShutdownSignal::ShutdownSignal(ioloop::Ring* ring, bool has_terminal)
    : ring_(ring), has_terminal_(has_terminal), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  GREENRING_CHECK(event_fd_.valid());
  wake_fd.store(event_fd_.get());
  server_pid.store(getpid());
  Install();
}

ShutdownSignal::~ShutdownSignal() {
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  if (!has_terminal_) signal(SIGHUP, SIG_DFL);
  wake_fd.store(-1);
}

void ShutdownSignal::Install() {
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  if (!has_terminal_) action.sa_handler = &OnUnheededSignal;
  sigaction(SIGINT, &action, nullptr);
  if (!has_terminal_) sigaction(SIGHUP, &action, nullptr);
}

void ShutdownSignal::Watch(std::function<void(int)> on_signal) {
  on_signal_ = std::move(on_signal);
  Install();
  watching_ = true;
  ring_->PollAdd(event_fd_.get(), POLLIN, this);
}

void ShutdownSignal::Unwatch() {
  if (watching_) ring_->Cancel(this);
}

void ShutdownSignal::OnComplete(int32_t result, uint32_t) {
  watching_ = false;
  if (result > 0) on_signal_(first_signal.load());
}

}  // namespace greenring::worker
