// The green threads of one make, engine and stack size: their stacks, and those that have ended and wait to be spawned
// anew.
//
// A scheduler has one stock for each make that anything alive is of, and spawns from one of them, its current one.
// What ends in another is taken apart instead of being kept (Scheduler::SetSpawnSettings).
//
// Owned by the Scheduler, and for it alone. Scheduler's thread only.
#pragma once

#include <cstddef>

#include "green/context.h"
#include "green/stack_slab.h"

namespace greenring::green {

class GreenThread;

// What a green thread is made of.
struct SpawnSettings {
  Engine engine = Engine::kUcontext;
  size_t stack_size_bytes = kDefaultStackSizeBytes;  // rounded up to pages; the guard page comes on top

  bool operator==(const SpawnSettings&) const = default;
};

struct ThreadStock {
  explicit ThreadStock(const SpawnSettings& settings) : settings(settings), slab(settings.stack_size_bytes) {}

  const SpawnSettings settings;
  StackSlab slab;
  GreenThread* free = nullptr;  // ended ones, with stack and context, linked by GreenThread::next_free_
};

}  // namespace greenring::green
