// A core that is a thread, green or the system's: engines `ucontext`, `fcontext` and `thread`.
//
//   ThreadCurrentCore core(&current_request, exchange, number);     // on that thread, for as long as the request runs
//
// Every blocking call of such a core is a wait: this asks for the same ones. Where the thread is a hub's, and the core
// a greenlet there (core_greenlet.h), that does it.
#pragma once

#include <memory>
#include <span>

#include "pyhost/current_core.h"

namespace greenring::pyhost {

// As CurrentCore::Yield, of the current thread, whether it runs a request or not. GIL held. Parks; an OS thread gives
// up the GIL and its turn.
bool YieldThread();

// As CurrentCore::Wait, of the current thread. GIL held. Parks; an OS thread blocks.
int WaitOnThread(std::span<const WaitFd> fds, int64_t timeout_ns);

class ThreadCurrentCore final : public CurrentCore {
 public:
  // CurrentCore::Get finds it from now on.
  ThreadCurrentCore(CurrentRequest* request, Exchange* exchange, int number);
  ~ThreadCurrentCore();

  bool Yield() override { return YieldThread(); }
  int Wait(std::span<const WaitFd> fds, int64_t timeout_ns) override { return WaitOnThread(fds, timeout_ns); }

  CurrentRequest* request() const override { return request_; }
  Exchange* exchange() const override { return exchange_; }
  int number() const override { return number_; }
  std::unique_ptr<Attachment>* attachment() override { return &attachment_; }

 private:
  CurrentRequest* const request_;
  Exchange* const exchange_;
  const int number_;
  std::unique_ptr<Attachment> attachment_;
};

}  // namespace greenring::pyhost
