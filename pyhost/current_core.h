// The core that runs the current request, whatever its engine makes it of: how code in a request lets others run.
//
//   CurrentCore* core = CurrentCore::Get();           // nullptr: this code runs in no request
//   if (!core->Yield()) return nullptr;               // with a Python error
//   const WaitFd fds[] = {{.fd = 7, .events = POLLIN}};
//   const int ready = core->Wait(fds, timeout_ns);    // 7; kTimedOut; kFailed with a Python error
//
// On green and OS threads a core is a thread, and every blocking call is a wait like these. On engines `greenlet` and
// `gevent` many cores share one green thread, and only what goes through their hub lets the others run: this does.
//
// GIL held in every call.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace greenring::pyhost {

class CurrentRequest;
class Exchange;

struct WaitFd {
  int fd;
  short events;  // POLLIN, POLLOUT
};

class CurrentCore {
 public:
  static constexpr int kTimedOut = -1;
  static constexpr int kFailed = -2;

  // What a module keeps for the request: dies with it.
  class Attachment {
   public:
    virtual ~Attachment() = default;
  };

  // Never parks.
  static CurrentCore* Get();

  CurrentCore(const CurrentCore&) = delete;
  CurrentCore& operator=(const CurrentCore&) = delete;

  // Lets all others that can run do so first. False with the Python error of an interrupt. Parks.
  virtual bool Yield() = 0;

  // Until one of `fds` is ready, which may be none, or `timeout_ns` has passed (kNeverNs: no limit). Returns the
  // descriptor, kTimedOut, or kFailed with a Python error: OSError for a descriptor that cannot be waited for (EBADF),
  // or that of an interrupt. Parks.
  virtual int Wait(std::span<const WaitFd> fds, int64_t timeout_ns) = 0;

  // ---- none of these parks ----

  virtual CurrentRequest* request() const = 0;
  virtual Exchange* exchange() const = 0;
  // Unlike that of every other request that runs now: from 0, less than the number of cores.
  virtual int number() const = 0;
  // One for the uwsgi module; null at the request's beginning.
  virtual std::unique_ptr<Attachment>* attachment() = 0;

 protected:
  CurrentCore() = default;
  ~CurrentCore() = default;
};

}  // namespace greenring::pyhost
