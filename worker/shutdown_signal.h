// SIGTERM and SIGINT, delivered to the loop; the second one ends the process at once.
//
//   ShutdownSignal signal(&loop, [&](int signal_number) { service.Drain(); });
//   signal.Watch();
//
// The signals are handled, not blocked, so that programs which the application starts inherit nothing odd. Handlers
// that the application's import installed are replaced. One per process. Loop's thread only.
#pragma once

#include <cstdint>
#include <functional>

#include "base/unique_fd.h"
#include "ioloop/ring.h"

namespace greenring::worker {

class ShutdownSignal final : private ioloop::Completion {
 public:
  // From now on the first signal is remembered, and the second ends the process with 128 + its number.
  // `has_terminal`: false where a master answers what comes from a terminal: SIGINT and SIGHUP do nothing here.
  ShutdownSignal(ioloop::Ring* ring, bool has_terminal);
  ~ShutdownSignal();

  // Installs the handlers again (an import may have replaced them) and calls `on_signal` in the loop's context when the
  // first signal comes, or has come.
  void Watch(std::function<void(int signal_number)> on_signal);

  // Ends the watch; its last completion comes with the loop's next turn.
  void Unwatch();

 private:
  void Install();
  void OnComplete(int32_t result, uint32_t flags) override;

  ioloop::Ring* const ring_;
  const bool has_terminal_;
  UniqueFd event_fd_;
  std::function<void(int)> on_signal_;
  bool watching_ = false;
};

}  // namespace greenring::worker
