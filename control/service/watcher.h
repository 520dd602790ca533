// One client of ServerService.Watch: which events it gets, and statistics when it is time. On the reactor's thread
// only; never blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/control_plane.h"
#include "control/reactor.h"
#include "control/service/event_filter.h"
#include "control/service/write_stream.h"
#include "greenring/control/v1/server_service.pb.h"

namespace greenring::control {

using WatchStream = WriteStream<v1::WatchResponse>;

class Watcher final : public ControlPlane::Observer {
 public:
  // The stream that a Watcher writes; `ended` is called on any thread when it has ended. Thread-safe.
  static std::shared_ptr<WatchStream> BeginStream(std::shared_ptr<OpenCalls> calls, std::function<void()> ended);

  // INVALID_ARGUMENT, or OUT_OF_RANGE for an event that has not happened.
  static absl::Status Check(const v1::WatchRequest& request, ControlPlane* plane);

  // Writes what there is already, and goes on until it is deleted.
  Watcher(const v1::WatchRequest& request, Reactor* reactor, ControlPlane* plane, std::shared_ptr<WatchStream> stream);
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher();

  bool open() const { return stream_->open(); }

 private:
  class Timer;

  void OnEvent(const v1::Event& event) override;
  void OnOperation(const v1::Operation& operation) override {}

  void Replay(int64_t after_event);
  void WriteStatistics();

  ControlPlane* const plane_;
  const std::shared_ptr<WatchStream> stream_;
  const std::vector<std::string> pools_;
  const EventFilter filter_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace greenring::control
