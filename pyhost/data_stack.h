// Memory for the frames of Python code, which CPython 3.11 and later keep for each thread apart from the C stack, in
// chunks of 16 KiB. A green thread whose calls are few deep uses one page of such a chunk, as much as half of its C
// stack; so it gets a small first chunk that lies on that stack, in a page that is in use anyway:
//
//   DataStack::PoolChunks();                   // once
//   DataStack first_chunk;                     // on the green thread's stack
//   PyThreadState* state = PyThreadState_New(...);
//   first_chunk.LendTo(state);                 // before it runs any code
//   ... PyThreadState_Clear(state), PyThreadState_DeleteCurrent() ...
//
// Deeper calls go on in chunks of CPython's own. As it gives those back at each return across their beginning, they are
// kept in a pool: without one, calls to and fro there would map and unmap memory. Greenlets, each of which begins a
// chunk of its own, take theirs from it too.
//
// CPython 3.10 keeps frames as objects; nothing of this is needed there, or done.
#pragma once

#include <cstddef>

extern "C" {
typedef struct _ts PyThreadState;
}

namespace greenring::pyhost {

class DataStack {
 public:
  DataStack() = default;
  DataStack(const DataStack&) = delete;
  DataStack& operator=(const DataStack&) = delete;

  // Of the whole process: CPython gets chunks of frames from a pool, and does not free what was lent. Idempotent. GIL
  // held. Never parks.
  static void PoolChunks();

  // `state` is new, and deleted before this goes. After PoolChunks. GIL held. Never parks.
  void LendTo(PyThreadState* state);

  // How many chunks of CPython's size the pool has for the next ones. GIL held.
  static size_t pooled_count();

  // Ten calls of Python functions, more or less: what a small handler needs while it waits. Not a multiple of a page,
  // by which it is told from what CPython maps.
  static constexpr size_t kLentBytes = 1536;
  // As many as requests may come and go at a time: 16 MiB, of which a quarter is resident while calls are not much
  // deeper, and only what was in use at once.
  static constexpr size_t kPooledMax = 1024;

 private:
  alignas(std::max_align_t) std::byte memory_[kLentBytes];  // uninitialised: CPython clears what it uses
};

}  // namespace greenring::pyhost
