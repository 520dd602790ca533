#include "control/event_log.h"

#include <algorithm>
#include <utility>

namespace greenring::control {

EventLog::EventLog(Timers* timers, std::function<void(const v1::Event&)> publish)
    : timers_(timers), publish_(std::move(publish)) {}

void EventLog::Add(v1::Event::Kind kind, v1::Event::Severity severity, std::string resource, std::string message,
                   std::string caller) {
  v1::Event event;
  event.set_id(++last_id_);
  *event.mutable_time() = timers_->WallTime();
  event.set_kind(kind);
  event.set_severity(severity);
  event.set_resource(std::move(resource));
  event.set_message(std::move(message));
  event.set_caller(std::move(caller));
  events_.push_back(event);
  if (events_.size() > kEventsMax) events_.pop_front();
  publish_(event);
}

std::vector<v1::Event> EventLog::After(int64_t id) const {
  const auto first =
      std::find_if(events_.begin(), events_.end(), [id](const v1::Event& event) { return event.id() > id; });
  return {first, events_.end()};
}

}  // namespace greenring::control
