#include "pyhost/data_stack.h"

#include <atomic>
#include <new>

#include "base/check.h"
#include "pyhost/python.h"

namespace greenring::pyhost {

#if PY_VERSION_HEX >= 0x030B0000

namespace {

// CPython's DATA_STACK_CHUNK_SIZE. A call with a larger frame gets a larger chunk, which is not pooled; nor would be
// those of a CPython that has another size.
constexpr size_t kChunkBytes = 16 * 1024;

struct FreeChunk {
  FreeChunk* next;
};

// CPython asks with the GIL held, but an interpreter beside the main one may have a GIL of its own: whoever finds the
// pool in use does without.
constinit std::atomic_flag pool_in_use = ATOMIC_FLAG_INIT;
constinit FreeChunk* pool = nullptr;  // last in, first out
constinit size_t pool_count = 0;
constinit PyObjectArenaAllocator below{};  // CPython's own

void* Allocate(void* /*context*/, size_t size) {
  if (size == kChunkBytes && !pool_in_use.test_and_set(std::memory_order_acquire)) {
    FreeChunk* const chunk = pool;
    if (chunk != nullptr) {
      pool = chunk->next;
      --pool_count;
    }
    pool_in_use.clear(std::memory_order_release);
    if (chunk != nullptr) return chunk;
  }
  return below.alloc(below.ctx, size);
}

void Free(void* /*context*/, void* memory, size_t size) {
  if (size == DataStack::kLentBytes) return;
  if (size == kChunkBytes && !pool_in_use.test_and_set(std::memory_order_acquire)) {
    const bool has_room = pool_count < DataStack::kPooledMax;
    if (has_room) {
      pool = new (memory) FreeChunk{pool};
      ++pool_count;
    }
    pool_in_use.clear(std::memory_order_release);
    if (has_room) return;
  }
  below.free(below.ctx, memory, size);
}

}  // namespace

void DataStack::PoolChunks() {
  if (below.alloc != nullptr) return;
  PyObject_GetArenaAllocator(&below);
  PyObjectArenaAllocator ours{.ctx = nullptr, .alloc = Allocate, .free = Free};
  PyObject_SetArenaAllocator(&ours);
}

void DataStack::LendTo(PyThreadState* state) {
  GREENRING_DCHECK(below.alloc != nullptr && state->datastack_chunk == nullptr);
  auto* const chunk = reinterpret_cast<_PyStackChunk*>(memory_);
  chunk->previous = nullptr;
  chunk->size = kLentBytes;
  chunk->top = 0;
  state->datastack_chunk = chunk;
  state->datastack_limit = reinterpret_cast<PyObject**>(memory_ + kLentBytes);
  // CPython gives a chunk back when its first slot is popped; that of the first chunk of all is left out for good.
  state->datastack_top = &chunk->data[1];
}

size_t DataStack::pooled_count() { return pool_count; }

#else

void DataStack::PoolChunks() {}
void DataStack::LendTo(PyThreadState* /*state*/) {}
size_t DataStack::pooled_count() { return 0; }

#endif

}  // namespace greenring::pyhost
