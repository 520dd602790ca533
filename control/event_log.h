// What has happened in the server: the last 4096 events, numbered, and told to whoever listens as they come.
//
//   log.Add(v1::Event::WORKER_DIED, v1::Event::ERROR, "pools/web/workers/3", "signal 9 (Killed)");
//
// On the reactor's thread only; nothing blocks.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "control/timers.h"
#include "greenring/control/v1/server_service.pb.h"

namespace greenring::control {

class EventLog {
 public:
  static constexpr size_t kEventsMax = 4096;

  // `publish` is called with every event, from within Add; it may add events itself.
  EventLog(Timers* timers, std::function<void(const v1::Event&)> publish);

  void Add(v1::Event::Kind kind, v1::Event::Severity severity, std::string resource, std::string message,
           std::string caller = "");

  // Those after `id` that are still known, oldest first; -1: all.
  std::vector<v1::Event> After(int64_t id) const;

 private:
  Timers* const timers_;
  const std::function<void(const v1::Event&)> publish_;
  std::deque<v1::Event> events_;
  int64_t last_id_ = 0;
};

}  // namespace greenring::control
