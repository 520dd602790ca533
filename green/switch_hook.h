// What follows a green thread from switch to switch beside its registers: its host's business.
#pragma once

namespace greenring::green {

class GreenThread;

// The one seam for a host (CPython): told of every switch so that it can carry its per-thread state along.
class SwitchHook {
 public:
  virtual ~SwitchHook() = default;

  // `thread` is about to run on this OS thread: it was just switched in. Called on its stack.
  virtual void OnSwitchIn(GreenThread* thread) = 0;

  // `thread` is about to be switched out. Called on its stack.
  virtual void OnSwitchOut(GreenThread* thread) = 0;

  // The loop is about to wait in Poller::Poll, perhaps for long: give up what other OS threads may want (the GIL).
  virtual void OnIdle() = 0;

  // `thread`, which runs, has overflowed its stack and been given the reserve: it shall end its recursion. False: the
  // host can do nothing to that end. In the fault's signal handler: async-signal-safe, on another stack.
  virtual bool OnReserveEntered(GreenThread* thread) { return false; }

  // `thread`, which runs, is back on its stack: what OnReserveEntered did is undone. Never parks.
  virtual void OnReserveLeft(GreenThread* thread) {}

  // `thread`, which passes for the running one, never runs again: give up for good what it holds. On another stack, in
  // the middle of whatever it did. Never parks.
  virtual void OnAbandoned(GreenThread* thread) {}
};

}  // namespace greenring::green
