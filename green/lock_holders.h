// Who holds a lock, for those who look for deadlocks: the thread that acquired it last.
//
//   LockHolders::Acquired(mutex, LockHolders::OfGreenThread(*thread));
//   LockHolders::Released(mutex);
//   if (LockHolders::Holder holder = LockHolders::Of(mutex); holder.is_known()) ...
//
// CPython's locks are semaphores, and a plain mutex of the C library knows an OS thread: neither can tell which green
// thread has it. So whoever acquires notes it here, in a table that forgets: locks whose addresses share a slot
// overwrite each other, and a note that is lost is an unknown holder. A wrong holder needs two OS threads that write
// one slot in the same instant.
//
// Thread-safe. Never parks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "green/green_thread.h"

namespace greenring::green {

class LockHolders {
 public:
  LockHolders() = delete;

  class Holder {
   public:
    constexpr Holder() = default;

    bool is_known() const { return value_ != 0; }
    // 0: it is none.
    uint64_t green_thread_id() const { return (value_ & kOsThreadBit) == 0 ? value_ >> 1 : 0; }
    // As gettid(2) gives it; 0: it is none.
    int os_thread_id() const { return (value_ & kOsThreadBit) != 0 ? static_cast<int>(value_ >> 1) : 0; }

   private:
    friend class LockHolders;
    static constexpr uint64_t kOsThreadBit = 1;

    explicit constexpr Holder(uint64_t value) : value_(value) {}

    uint64_t value_ = 0;
  };

  static Holder OfGreenThread(const GreenThread& thread) { return Holder(thread.id() << 1); }
  static Holder OfOsThread(int id) { return Holder(static_cast<uint64_t>(id) << 1 | Holder::kOsThreadBit); }

  static void Acquired(const void* lock, Holder holder) {
    Slot* const slot = SlotOf(lock);
    slot->holder.store(holder.value_, std::memory_order_relaxed);
    slot->lock.store(lock, std::memory_order_release);
  }

  // It is free, or somebody else's from here on.
  static void Released(const void* lock) {
    Slot* const slot = SlotOf(lock);
    if (slot->lock.load(std::memory_order_relaxed) == lock) slot->lock.store(nullptr, std::memory_order_relaxed);
  }

  // Not known: nobody holds it, or it was forgotten.
  static Holder Of(const void* lock) {
    const Slot* const slot = SlotOf(lock);
    if (slot->lock.load(std::memory_order_acquire) != lock) return Holder();
    const Holder holder(slot->holder.load(std::memory_order_relaxed));
    return slot->lock.load(std::memory_order_relaxed) == lock ? holder : Holder();
  }

 private:
  struct Slot {
    std::atomic<const void*> lock;
    std::atomic<uint64_t> holder;
  };

  // 128 KiB, of which pages are used that are written. Sixteen times as many as the locks that anybody holds at once.
  static constexpr int kSlotBits = 13;

  static Slot* SlotOf(const void* lock) {
    return &slots_[(reinterpret_cast<uintptr_t>(lock) * 0x9E3779B97F4A7C15u) >> (64 - kSlotBits)];
  }

  static inline constinit Slot slots_[size_t{1} << kSlotBits];
};

}  // namespace greenring::green
