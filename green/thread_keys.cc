#include "green/thread_keys.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <threads.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "base/sanitizers.h"
#include "green/green_thread.h"
#include "green/scheduler.h"

namespace greenring::green {

// The values of one green thread, in the order in which keys were first set: of the many keys of a process a thread
// sets one to three. Public to this file through GreenThread's forward declaration.
struct KeyValues {
  struct Slot {
    uint64_t generation;  // of the key when the value was set: a deleted key's values are void
    void* value;
    pthread_key_t key;
  };

  uint32_t count;
  uint32_t capacity;
  Slot slots[];
};

namespace {

using Destructor = void (*)(void*);

// A key as pthread_key_create left it. Zero-initialised, so usable before any constructor has run.
struct Key {
  std::atomic<uint64_t> generation{0};  // 0: values per OS thread; else changes when the key is created or deleted
  std::atomic<Destructor> destructor{nullptr};
};

constinit Key keys[PTHREAD_KEYS_MAX];
constinit std::atomic<uint64_t> last_generation{0};
constinit std::atomic<bool> program_started{false};

// Before all other initialisers of the program, after those of the runtimes.
__attribute__((constructor(101))) void NoteProgramStart() { program_started.store(true, std::memory_order_relaxed); }

void Renew(pthread_key_t key, Destructor destructor) {
  keys[key].destructor.store(destructor, std::memory_order_relaxed);
  keys[key].generation.store(last_generation.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_release);
}

KeyValues::Slot* Find(KeyValues* values, pthread_key_t key) {
  if (values == nullptr) return nullptr;
  KeyValues::Slot* const end = values->slots + values->count;
  KeyValues::Slot* const found =
      std::find_if(values->slots, end, [key](const KeyValues::Slot& slot) { return slot.key == key; });
  return found != end ? found : nullptr;
}

// With room for one more. Nullptr: there is no memory, and `values` is as it was.
KeyValues* Grow(KeyValues* values) {
  constexpr uint32_t kCapacityMin = 3;
  if (values != nullptr && values->count < values->capacity) return values;
  const uint32_t capacity = values != nullptr ? 2 * values->capacity : kCapacityMin;
  auto* grown = static_cast<KeyValues*>(std::realloc(values, sizeof(KeyValues) + capacity * sizeof(KeyValues::Slot)));
  if (grown == nullptr) return nullptr;
  if (values == nullptr) grown->count = 0;
  grown->capacity = capacity;
  return grown;
}

// Whose value `key` has here: a green thread's, or nullptr for the OS thread's.
GREENRING_UNINSTRUMENTED inline GreenThread* OwnerOf(pthread_key_t key) {
  if (key >= PTHREAD_KEYS_MAX || keys[key].generation.load(std::memory_order_acquire) == 0) return nullptr;
  GreenThread* thread = GreenThread::Current();
  return thread != nullptr && !thread->is_os_thread() ? thread : nullptr;
}

}  // namespace

bool ThreadKeys::HasValues(const GreenThread* thread) { return thread->key_values_ != nullptr; }

void* ThreadKeys::Get(GreenThread* thread, pthread_key_t key) {
  const KeyValues::Slot* const slot = Find(thread->key_values_, key);
  if (slot == nullptr) return nullptr;
  return slot->generation == keys[key].generation.load(std::memory_order_acquire) ? slot->value : nullptr;
}

int ThreadKeys::Set(GreenThread* thread, pthread_key_t key, const void* value) {
  KeyValues::Slot* slot = Find(thread->key_values_, key);
  if (slot == nullptr) {
    if (value == nullptr) return 0;
    KeyValues* const values = Grow(thread->key_values_);
    if (values == nullptr) return ENOMEM;
    thread->key_values_ = values;
    slot = &values->slots[values->count++];
  }
  *slot = {keys[key].generation.load(std::memory_order_acquire), const_cast<void*>(value), key};
  return 0;
}

void ThreadKeys::DestroyValues(GreenThread* thread) {
  bool again = true;
  for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS && again; ++round) {
    again = false;
    for (uint32_t i = 0; i < thread->key_values_->count; ++i) {  // a destructor may grow it
      const pthread_key_t key = thread->key_values_->slots[i].key;
      void* value = Get(thread, key);
      const Destructor destructor = keys[key].destructor.load(std::memory_order_relaxed);
      if (value == nullptr || destructor == nullptr) continue;
      thread->key_values_->slots[i].value = nullptr;
      destructor(value);
      again = true;
    }
  }
  std::free(thread->key_values_);
  thread->key_values_ = nullptr;
}

// C11's tss_* are the C library's pthread functions under names that we do not define.
extern "C" {

GREENRING_UNINSTRUMENTED int pthread_key_create(pthread_key_t* key, void (*destructor)(void*)) noexcept {
  switch (tss_create(key, destructor)) {
    case thrd_success:
      break;
    case thrd_nomem:
      return ENOMEM;
    default:
      return EAGAIN;
  }
  if (program_started.load(std::memory_order_relaxed)) Renew(*key, destructor);
  return 0;
}

GREENRING_UNINSTRUMENTED int pthread_key_delete(pthread_key_t key) noexcept {
  if (key >= PTHREAD_KEYS_MAX) return EINVAL;
  if (keys[key].generation.load(std::memory_order_relaxed) != 0) Renew(key, nullptr);
  tss_delete(key);
  return 0;
}

GREENRING_UNINSTRUMENTED void* pthread_getspecific(pthread_key_t key) noexcept {
  GreenThread* thread = OwnerOf(key);
  return thread != nullptr ? ThreadKeys::Get(thread, key) : tss_get(key);
}

GREENRING_UNINSTRUMENTED int pthread_setspecific(pthread_key_t key, const void* value) noexcept {
  GreenThread* thread = OwnerOf(key);
  if (thread != nullptr) return ThreadKeys::Set(thread, key, value);
  return tss_set(key, const_cast<void*>(value)) == thrd_success ? 0 : EINVAL;
}

}  // extern "C"

}  // namespace greenring::green
