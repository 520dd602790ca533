// What a greenlet used that works in a core's place (core_greenlet.h), for those who know nothing of Python.
//
// Scheduler's thread only. Never parks.
#pragma once

#include <cstdint>

namespace greenring::green {
class GreenThread;
}

namespace greenring::pyhost {

class GreenletAccount {
 public:
  // How long it has had its hub's green thread, for the request that it runs or has run last, and how often it was
  // switched to.
  virtual int64_t RunNs() const = 0;
  virtual uint64_t switches() const = 0;

  // The hub's green thread, while it runs there or blocks that; else nullptr.
  virtual const green::GreenThread* runs_on() const = 0;

 protected:
  ~GreenletAccount() = default;
};

}  // namespace greenring::pyhost
