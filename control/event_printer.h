// The master's own log: events as lines on stderr.
//
//   greenring: pools/web/workers/3: died: signal 9 (Killed)
#pragma once

#include <functional>
#include <string>

#include "control/control_plane.h"

namespace greenring::control {

class EventPrinter final : public ControlPlane::Observer {
 public:
  // `write` gets lines without their end.
  explicit EventPrinter(std::function<void(const std::string&)> write) : write_(std::move(write)) {}

  void OnEvent(const v1::Event& event) override;
  void OnOperation(const v1::Operation&) override {}  // their events say the same

 private:
  const std::function<void(const std::string&)> write_;
};

}  // namespace greenring::control
