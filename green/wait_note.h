// What a green thread is parked in, for those who look at it from outside: dumps, the search for deadlocks, debuggers.
//
// A part of the control block, written by ScopedWait. It says nothing of whether the green thread is parked: what has
// been noted stays noted while the call goes on.
#pragma once

#include <cstdint>

namespace greenring::green {

struct WaitNote {
  enum class Kind : uint8_t {
    kOther,
    kLock,      // `object` is held by somebody (lock_holders.h)
    kIdle,      // a core that has nothing to do
    kOsThread,  // an OS thread works in its place
  };

  const char* call = nullptr;    // "recv"; lives for ever. nullptr: not noted
  const void* object = nullptr;  // the lock, the channel; nullptr: none
  uint64_t since_ticks = 0;      // of the scheduler, when the wait began; 0: with the last Park
  int fd = -1;                   // the descriptor that it waits for; -1: none
  Kind kind = Kind::kOther;
};

}  // namespace greenring::green
