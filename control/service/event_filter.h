// Which events a caller asks for: those of some pools, after one that it knows. For Watch and for ListEvents.
//
// On the reactor's thread only; never blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/control_plane.h"

namespace greenring::control {

class EventFilter {
 public:
  // `pools`: "pools/{pool}"; empty: all. `plane` must outlive it.
  EventFilter(ControlPlane* plane, std::vector<std::string> pools) : plane_(plane), pools_(std::move(pools)) {}

  // What is about one of the pools, its workers and operations, or about the server as a whole.
  bool Wants(const v1::Event& event) const;

 private:
  ControlPlane* const plane_;
  const std::vector<std::string> pools_;
};

// OUT_OF_RANGE unless event `after_event` has happened; 0 and less name none. `advice` says how to get at all events.
absl::Status CheckHasHappened(ControlPlane* plane, int64_t after_event, const std::string& advice);

}  // namespace greenring::control
