// One wait of a greenlet in its hub: the hub's others run until somebody wakes it.
//
//   auto wait = std::make_unique<HubWait>(hub);     // on the heap: while it waits, others use the greenlet's stack
//   line->Join(wait.get());                         // whoever will call Wake
//   if (wait->Park(deadline_ns) == HubWait::End::kThrown) return nullptr;
//
// It does not matter whose greenlet it is, a request's or one that was spawned, and how many of a request's wait. Only
// the hub's own greenlet cannot: nobody would run meanwhile.
//
// On the hub's green thread, GIL held, but for Wake.
#pragma once

#include <cstdint>

#include "base/intrusive_list.h"
#include "green/timer_queue.h"
#include "pyhost/hub.h"
#include "pyhost/py_ref.h"

namespace greenring::pyhost {

class HubWait final : public ListLink /* in its hub's list of waits */ {
 public:
  enum class End : uint8_t {
    kWoken,
    kTimedOut,  // the deadline passed first
    kThrown,    // the Python error is set: what was thrown into the greenlet, or RuntimeError on the hub itself
  };

  explicit HubWait(Hub* hub) : hub_(hub) {}
  ~HubWait();
  HubWait(const HubWait&) = delete;
  HubWait& operator=(const HubWait&) = delete;

  // Ends Park, or the one that follows when others have had their turn. At most once. Any OS thread, GIL held. Never
  // parks.
  void Wake();

  // Until Wake, `deadline_ns` of the scheduler's clock (kNeverNs: never), or an exception. What is posted for the
  // greenlet's request comes first, also before a Wake. Once.
  End Park(int64_t deadline_ns);

  // An instance of `exit`, a class, is thrown into the greenlet. Never parks.
  void Exit(PyObject* exit);

 private:
  // Has the greenlet run, on the hub.
  class Turn final : public Hub::Due {
   public:
    Turn(HubWait* wait, End end) : wait_(wait), end_(end) {}

   private:
    void OnDue() override;

    HubWait* const wait_;
    const End end_;
  };

  struct DeadlineTimer : green::Timer {
    explicit DeadlineTimer(HubWait* wait) : Timer(&HubWait::OnDeadline), wait(wait) {}
    HubWait* const wait;
  };

  static void OnDeadline(green::Timer* timer);
  End SwitchUntilEnd();

  Hub* const hub_;
  PyRef greenlet_;
  PyRef exit_;
  bool has_ended_ = false;
  End end_ = End::kWoken;

  // One for those who have the GIL, and one for those on the scheduler's OS thread.
  Turn woken_{this, End::kWoken};
  Turn due_{this, End::kTimedOut};
  DeadlineTimer timer_{this};
};

}  // namespace greenring::pyhost
