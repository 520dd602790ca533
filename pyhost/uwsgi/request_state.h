// What the module keeps for one request: the waits that are asked for and not begun, and what became of the last one.
//
//   UwsgiRequest* state = UwsgiRequest::OfOrRaise("wait_fd_read");   // nullptr with an OSError outside a request
//   state->Add({.fd = 7, .events = POLLIN}, timeout_ns);
//   if (!state->Await(core)) return nullptr;                        // and they are forgotten
//   state->ready_fd();
//
// GIL held. On the core's thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/container/inlined_vector.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "pyhost/current_core.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

class UwsgiRequest final : public CurrentCore::Attachment {
 public:
  UwsgiRequest() = default;
  ~UwsgiRequest() override;

  // Of the current request, made if it has none yet. Nullptr with an OSError that names `function`: this code runs in
  // no request. Never parks.
  static UwsgiRequest* OfOrRaise(const char* function);

  // That of `core`, nullptr: it has none; and one that is made if so. Never park.
  static UwsgiRequest* Of(CurrentCore* core) { return static_cast<UwsgiRequest*>(core->attachment()->get()); }
  static UwsgiRequest* OfOrNew(CurrentCore* core);

  // Nothing is waited for yet. Another wait for the same descriptor is added to the one there is. The first timeout
  // counts, from now (kNeverNs: this wait has none). Never park.
  void Add(const WaitFd& fd, int64_t timeout_ns);
  void AddTimeout(int64_t timeout_ns);
  bool has_waits() const { return !fds_.empty() || deadline_ns_ != kNeverNs; }

  // Until one of the waits is over; they are forgotten then, whatever happens. False with a Python error. Parks.
  bool Await(CurrentCore* core);

  // The descriptor that ended the last wait; -1: a timeout, or there was nothing to wait for.
  int ready_fd() const { return ready_fd_; }
  bool timed_out() const { return timed_out_; }
  // There was nothing to wait for.
  void ForgetResult();

  // environ tells of a wait.
  bool told_environ = false;

  // By uwsgi.signal_wait, last; -1: none.
  int signal_received = -1;

  // A descriptor of the client's connection of the application's own; -1: the connection has none, or there is no
  // descriptor to be had (errno). Closed at the end, unless the application has done so. Never parks.
  int ClientFd(CurrentCore* core);

  // What has arrived of the next chunk, for uwsgi.chunked_read_nb.
  std::string chunk;

  // Before the application set a deadline of its own; kUnset: it has not.
  static constexpr int64_t kUnset = -1;
  int64_t configured_timeout_ns = kUnset;

 private:
  absl::InlinedVector<WaitFd, 2> fds_;
  int64_t deadline_ns_ = kNeverNs;
  int ready_fd_ = -1;
  bool timed_out_ = false;
  int client_fd_ = -1;
  uint64_t client_inode_ = 0;
};

}  // namespace greenring::pyhost
