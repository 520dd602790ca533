// The hubs of a worker (pyhost/hub.h), one for each engine that has one.
//
//   Hubs hubs(&scheduler, stack_size_bytes, &error_log);
//   HubCore core(hubs.Of(CoreEngine::kGevent), ...);          // on a core
//   ...
//   hubs.Stop([&] { ... });                                   // no core is left
//
// A hub begins when it is first asked for, and lives as long as the worker: what runs there in the background
// goes on when the pool has another engine. One that is lost has a successor.
//
// Scheduler's thread only. Never parks.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "green/scheduler.h"
#include "pyhost/error_log.h"
#include "pyhost/hub.h"
#include "worker/core_engine.h"

namespace greenring::worker {

class Hubs {
 public:
  // Their green threads get stacks of that size, but at least kStackSizeBytesMin.
  Hubs(green::Scheduler* scheduler, size_t stack_size_bytes, pyhost::ErrorLog* error_log);
  ~Hubs();  // they have ended, or never run again
  Hubs(const Hubs&) = delete;
  Hubs& operator=(const Hubs&) = delete;

  // Of an engine with a hub (checked). Started here if nobody has asked for it before, or the last one is lost.
  pyhost::Hub* Of(CoreEngine engine);

  // GreenletExit for what still runs in the background.
  void EndGreenlets();

  // No core uses them any more, and none will: they end one after the other, then `on_ended` is called, at once if
  // there is none.
  void Stop(std::function<void()> on_ended);

  // All greenlets of a hub have their C stacks on that one, one at a time.
  static constexpr size_t kStackSizeBytesMin = size_t{8} << 20;

 private:
  std::unique_ptr<pyhost::Hub> New(CoreEngine engine) const;

  green::Scheduler* const scheduler_;
  const size_t stack_size_bytes_;
  pyhost::ErrorLog* const error_log_;
  std::unique_ptr<pyhost::Hub> greenlet_;  // null until it is asked for
  std::unique_ptr<pyhost::Hub> gevent_;
  std::vector<std::unique_ptr<pyhost::Hub>> lost_;
};

}  // namespace greenring::worker
