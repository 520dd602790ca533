// Events as lines of the server's log: "pools/web/workers/3: died: signal 9 (Killed)". As JSON with the event's kind
// and resource, its caller and message.
//
// On the reactor's thread only.
#pragma once

#include "control/control_plane.h"
#include "control/server_log.h"

namespace greenring::control {

class EventPrinter final : public ControlPlane::Observer {
 public:
  // `log` must outlive it.
  explicit EventPrinter(const ServerLog* log) : log_(log) {}

  void OnEvent(const v1::Event& event) override;
  void OnOperation(const v1::Operation&) override {}  // their events say the same

 private:
  const ServerLog* const log_;
};

}  // namespace greenring::control
