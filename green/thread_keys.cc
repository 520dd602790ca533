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

// The values of one green thread, indexed by key. Public to this file through GreenThread's forward declaration.
struct KeyValues {
  struct Slot {
    uint64_t generation;  // of the key when the value was set: a deleted key's values are void
    void* value;
  };

  uint32_t count;
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

KeyValues* Grow(KeyValues* values, uint32_t count) {
  constexpr uint32_t kStep = 8;
  const uint32_t old_count = values != nullptr ? values->count : 0;
  const uint32_t new_count = (count + kStep - 1) / kStep * kStep;
  auto* grown = static_cast<KeyValues*>(std::realloc(values, sizeof(KeyValues) + new_count * sizeof(KeyValues::Slot)));
  if (grown == nullptr) return nullptr;
  grown->count = new_count;
  std::fill(grown->slots + old_count, grown->slots + new_count, KeyValues::Slot{0, nullptr});
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
  const KeyValues* values = thread->key_values_;
  if (values == nullptr || key >= values->count) return nullptr;
  const KeyValues::Slot& slot = values->slots[key];
  return slot.generation == keys[key].generation.load(std::memory_order_acquire) ? slot.value : nullptr;
}

int ThreadKeys::Set(GreenThread* thread, pthread_key_t key, const void* value) {
  KeyValues* values = thread->key_values_;
  if (values == nullptr || key >= values->count) {
    if (value == nullptr) return 0;
    values = Grow(values, key + 1);
    if (values == nullptr) return ENOMEM;
    thread->key_values_ = values;
  }
  values->slots[key] = {keys[key].generation.load(std::memory_order_acquire), const_cast<void*>(value)};
  return 0;
}

void ThreadKeys::DestroyValues(GreenThread* thread) {
  bool again = true;
  for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS && again; ++round) {
    again = false;
    for (pthread_key_t key = 0; key < thread->key_values_->count; ++key) {  // a destructor may grow it
      void* value = Get(thread, key);
      const Destructor destructor = keys[key].destructor.load(std::memory_order_relaxed);
      if (value == nullptr || destructor == nullptr) continue;
      thread->key_values_->slots[key].value = nullptr;
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
