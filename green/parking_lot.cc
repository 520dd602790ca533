#include "green/parking_lot.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "base/sanitizers.h"

namespace greenring::green {
namespace {

// futex(2). `deadline` is of the monotonic clock. A frame of its own with nothing to clean up: where it is a
// cancellation point, pthread_cancel may unwind it from any instruction.
__attribute__((noinline)) long FutexWait(const std::atomic<uint32_t>* word, uint32_t value, const timespec* deadline,
                                         bool is_cancellation_point) {
  int type = PTHREAD_CANCEL_DEFERRED;
  if (is_cancellation_point) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
  const long result =
      syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
  if (is_cancellation_point) pthread_setcanceltype(type, nullptr);
  return result;
}

}  // namespace

// Not pthread's: those names may be ours, and built on this.
class ParkingLot::BucketLock {
 public:
  explicit BucketLock(Bucket* bucket) : bucket_(bucket) {
    constexpr int kSpinsMax = 100;
    for (int spins = 0; bucket_->locked.exchange(true, std::memory_order_acquire); ++spins) {
      if (spins >= kSpinsMax) syscall(SYS_sched_yield);
    }
  }

  // Takes over a lock that is held.
  BucketLock(Bucket* bucket, std::adopt_lock_t) : bucket_(bucket) {}

  ~BucketLock() {
    for (;;) {
      if (bucket_->rouse.load(std::memory_order_relaxed) && bucket_->rouse.exchange(false)) RouseEverybody(bucket_);
      bucket_->locked.store(false, std::memory_order_seq_cst);
      // A handler that came between the two lines above found the lock held and relies on us.
      if (!bucket_->rouse.load(std::memory_order_seq_cst)) return;
      if (bucket_->locked.exchange(true, std::memory_order_acquire)) return;  // who holds it now will see to it
    }
  }

  BucketLock(const BucketLock&) = delete;
  BucketLock& operator=(const BucketLock&) = delete;

 private:
  Bucket* const bucket_;
};

constinit ParkingLot::Bucket ParkingLot::buckets_[kBuckets];

ParkingLot::Bucket* ParkingLot::BucketOf(const void* address) {
  // Fibonacci hashing: the high bits of the product are well mixed.
  constexpr int kBucketBits = 10;
  static_assert(kBuckets == size_t{1} << kBucketBits);
  return &buckets_[(reinterpret_cast<uintptr_t>(address) * 0x9E3779B97F4A7C15u) >> (64 - kBucketBits)];
}

bool ParkingLot::HasWaiters(const void* address) {
  Bucket* bucket = BucketOf(address);
#if GREENRING_TSAN
  return bucket->waiter_count.fetch_add(0, std::memory_order_seq_cst) != 0;  // TSan does not model fences
#elif defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_seq_cst);  // the caller's read-modify-write was a full barrier
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  return bucket->waiter_count.load(std::memory_order_seq_cst) != 0;
}

size_t ParkingLot::Wake(const void* address, bool everybody) {
  Bucket* const bucket = BucketOf(address);
  if (SignalScope::active()) {
    // The lock's holder may be what the handler interrupted. A wake too many is allowed: everybody in the bucket.
    bucket->rouse.store(true, std::memory_order_seq_cst);
    if (!bucket->locked.exchange(true, std::memory_order_seq_cst)) BucketLock lock(bucket, std::adopt_lock);
    return 1;
  }
  BucketLock lock(bucket);
  size_t count = 0;
  for (Waiter* waiter = bucket->first; waiter != nullptr && (everybody || count == 0);) {
    Waiter* const next = waiter->next_;
    if (waiter->address_ == address) {
      waiter->Deliver(everybody ? Waiter::kWokenWithAll : Waiter::kWoken);
      ++count;
    }
    waiter = next;
  }
  return count;
}

bool ParkingLot::GiveToFirst(const void* address) {
  Bucket* const bucket = BucketOf(address);
  BucketLock lock(bucket);
  for (Waiter* waiter = bucket->first; waiter != nullptr; waiter = waiter->next_) {
    if (waiter->address_ != address) continue;
    waiter->Deliver(Waiter::kGiven);
    return true;
  }
  return false;
}

void ParkingLot::RouseEverybody(Bucket* bucket) {
  while (bucket->first != nullptr) bucket->first->Deliver(Waiter::kWokenWithAll);
}

void ParkingLot::ForgetAllAfterFork() {
  for (Bucket& bucket : buckets_) {
    bucket.waiter_count.store(0, std::memory_order_relaxed);
    bucket.locked.store(false, std::memory_order_relaxed);
    bucket.rouse.store(false, std::memory_order_relaxed);
    bucket.first = bucket.last = nullptr;
  }
}

ParkingLot::Waiter::Waiter(const void* address, GreenThread* thread)
    : address_(address), bucket_(BucketOf(address)), thread_(thread) {
  BucketLock lock(bucket_);
  JoinAtEnd();
}

ParkingLot::Waiter::~Waiter() {
  if (state_.load(std::memory_order_relaxed) != kLeft) Leave();
}

bool ParkingLot::Waiter::Leave() {
  uint32_t state;
  {
    // Taken in any case: whoever woke us may still be in Deliver.
    BucketLock lock(bucket_);
    if (in_line()) Unlink();
    state = state_.exchange(kLeft, std::memory_order_relaxed);
  }
  // It came after the last Wait, or Wait was never called: it may be the only one there is for the next in line.
  if (state == kWoken) WakeOne(address_);
  return state == kGiven;
}

void ParkingLot::Waiter::JoinAtEnd() {
  state_.store(kWaiting, std::memory_order_relaxed);
  next_ = nullptr;
  previous_ = bucket_->last;
  (previous_ != nullptr ? previous_->next_ : bucket_->first) = this;
  bucket_->last = this;
  bucket_->waiter_count.fetch_add(1, std::memory_order_seq_cst);
}

void ParkingLot::Waiter::JoinInFront() {
  state_.store(kWaiting, std::memory_order_relaxed);
  previous_ = nullptr;
  next_ = bucket_->first;
  (next_ != nullptr ? next_->previous_ : bucket_->last) = this;
  bucket_->first = this;
  bucket_->waiter_count.fetch_add(1, std::memory_order_seq_cst);
}

void ParkingLot::Waiter::Unlink() {
  (previous_ != nullptr ? previous_->next_ : bucket_->first) = next_;
  (next_ != nullptr ? next_->previous_ : bucket_->last) = previous_;
  bucket_->waiter_count.fetch_sub(1, std::memory_order_relaxed);
}

void ParkingLot::Waiter::Deliver(uint32_t state) {
  Unlink();
  state_.store(state, std::memory_order_release);
  if (thread_ == nullptr) {
    syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  } else if (Scheduler::Current() == thread_->scheduler() && !SignalScope::active()) {
    thread_->scheduler()->Unpark(thread_);
  } else {
    thread_->scheduler()->UnparkRemote(thread_);
  }
}

ParkResult ParkingLot::Waiter::Wait(int64_t deadline_ns) { return WaitInternal(deadline_ns, /*cancellable=*/true); }

ParkResult ParkingLot::Waiter::WaitUncancellable(int64_t deadline_ns) {
  return WaitInternal(deadline_ns, /*cancellable=*/false);
}

ParkResult ParkingLot::Waiter::WaitInternal(int64_t deadline_ns, bool cancellable) {
  ParkResult result = ParkResult::kUnparked;
  if (!woken()) {
    if (thread_ == nullptr) {
      result = Block(deadline_ns, cancellable);
    } else if (cancellable) {
      result = thread_->scheduler()->Park(deadline_ns);
    } else {
      result = thread_->scheduler()->ParkUncancellable(deadline_ns);
    }
  }
  BucketLock lock(bucket_);
  if (in_line()) return result;
  gift_ = state_.load(std::memory_order_relaxed) == kGiven;
  JoinInFront();
  return ParkResult::kUnparked;
}

ParkResult ParkingLot::Waiter::Block(int64_t deadline_ns, bool cancellable) {
  const int error_before = errno;
  const int64_t instant_ns = std::max<int64_t>(deadline_ns, 0);  // the kernel refuses what was before its clock began
  const timespec deadline = {instant_ns / kNanosecondsPerSecond, instant_ns % kNanosecondsPerSecond};
  const long result = FutexWait(&state_, kWaiting, deadline_ns == kNeverNs ? nullptr : &deadline, cancellable);
  const bool timed_out = result < 0 && errno == ETIMEDOUT;
  errno = error_before;
  return timed_out ? ParkResult::kTimedOut : ParkResult::kUnparked;
}

}  // namespace greenring::green
