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

void OnSignal(int signal_number) {
  if (getpid() != server_pid.load()) {  // a child of fork, which has the handler too: it is none of a server
    signal(signal_number, SIG_DFL);
    raise(signal_number);  // when this has returned
    return;
  }
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, signal_number)) _exit(128 + signal_number);
  const uint64_t one = 1;
  if (posix::real::write(wake_fd.load(), &one, sizeof(one)) < 0) return;  // the counter is full: it is readable anyway
}

}  // namespace

ShutdownSignal::ShutdownSignal(ioloop::Ring* ring) : ring_(ring), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  GREENRING_CHECK(event_fd_.valid());
  wake_fd.store(event_fd_.get());
  server_pid.store(getpid());
  Install();
}

ShutdownSignal::~ShutdownSignal() {
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  wake_fd.store(-1);
}

void ShutdownSignal::Install() {
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
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
