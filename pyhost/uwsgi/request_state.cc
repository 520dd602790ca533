#include "pyhost/uwsgi/request_state.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "green/scheduler.h"
#include "pyhost/exchange.h"

namespace greenring::pyhost {
namespace {

int64_t NowNs() {
  const green::Scheduler* const scheduler = green::Scheduler::Current();
  return (scheduler != nullptr ? scheduler->clock() : Clock::Monotonic())->NowNs();
}

// 0: there is no such descriptor.
uint64_t InodeOf(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

// An application may have closed the descriptor by itself, and its number may be another file's by now.
UwsgiRequest::~UwsgiRequest() {
  if (client_fd_ >= 0 && InodeOf(client_fd_) == client_inode_) close(client_fd_);
}

UwsgiRequest* UwsgiRequest::OfOrNew(CurrentCore* core) {
  std::unique_ptr<CurrentCore::Attachment>* const attachment = core->attachment();
  if (*attachment == nullptr) *attachment = std::make_unique<UwsgiRequest>();
  return static_cast<UwsgiRequest*>(attachment->get());
}

UwsgiRequest* UwsgiRequest::OfOrRaise(const char* function) {
  CurrentCore* const core = CurrentCore::Get();
  if (core != nullptr) return OfOrNew(core);
  PyErr_Format(PyExc_OSError, "uwsgi.%s() is for code that handles a request, on the thread that does so", function);
  return nullptr;
}

void UwsgiRequest::Add(const WaitFd& fd, int64_t timeout_ns) {
  const auto same = std::find_if(fds_.begin(), fds_.end(), [&fd](const WaitFd& other) { return other.fd == fd.fd; });
  if (same != fds_.end()) {
    same->events = static_cast<short>(same->events | fd.events);
  } else {
    fds_.push_back(fd);
  }
  AddTimeout(timeout_ns);
  ForgetResult();
}

void UwsgiRequest::AddTimeout(int64_t timeout_ns) {
  ForgetResult();
  if (timeout_ns == kNeverNs || deadline_ns_ != kNeverNs) return;
  deadline_ns_ = InstantAfter(NowNs(), timeout_ns);
}

void UwsgiRequest::ForgetResult() {
  ready_fd_ = -1;
  timed_out_ = false;
}

bool UwsgiRequest::Await(CurrentCore* core) {
  ForgetResult();
  const auto fds = std::move(fds_);
  fds_.clear();
  const int64_t deadline_ns = std::exchange(deadline_ns_, kNeverNs);
  const int64_t timeout_ns = deadline_ns != kNeverNs ? std::max<int64_t>(deadline_ns - NowNs(), 0) : kNeverNs;
  const int ready = core->Wait({fds.data(), fds.size()}, timeout_ns);
  if (ready == CurrentCore::kFailed) return false;
  timed_out_ = ready == CurrentCore::kTimedOut;
  if (!timed_out_) ready_fd_ = ready;
  return true;
}

int UwsgiRequest::ClientFd(CurrentCore* core) {
  if (client_fd_ >= 0 && InodeOf(client_fd_) == client_inode_) return client_fd_;
  const int fd = core->exchange()->client_fd();
  client_fd_ = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  client_inode_ = InodeOf(client_fd_);
  return client_fd_;
}

}  // namespace greenring::pyhost
