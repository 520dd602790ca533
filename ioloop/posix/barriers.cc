// Barriers: ours, inside the C library's object, for both kinds of thread. One that is shared between processes is the
// C library's, and blocks the OS thread.
#include <errno.h>
#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "green/parking_lot.h"
#include "green/scoped_wait.h"
#include "ioloop/posix/lock_wait.h"
#include "ioloop/posix/parking.h"

namespace greenring::posix::parking {
namespace {

struct Barrier {
  uint32_t count;                 // who has to arrive
  std::atomic<uint32_t> arrived;  // since the last round
  std::atomic<uint32_t> round;    // changes when the last one arrives
  std::atomic<uint32_t> inside;   // threads in pthread_barrier_wait; 0: may be destroyed
  uint32_t unused[3];             // up to here the C library's object reaches
  uint32_t is_the_c_librarys;
};
constexpr size_t kCLibrarysBytes = 20;
static_assert(sizeof(Barrier) <= sizeof(pthread_barrier_t) && alignof(Barrier) <= alignof(pthread_barrier_t));
static_assert(offsetof(Barrier, is_the_c_librarys) >= kCLibrarysBytes);

Barrier* ToOurs(pthread_barrier_t* barrier) { return reinterpret_cast<Barrier*>(barrier); }

// Until `condition`, about `word`, is true. Parks.
template <typename Condition>
void WaitUntil(const std::atomic<uint32_t>* word, Condition condition) {
  if (condition()) return;
  green::GreenThread* const thread = ParkingThread();
  const green::ScopedWait noted(thread, {.call = "pthread_barrier_wait", .object = word});
  green::ParkingLot::Waiter waiter(word, thread);
  while (!condition()) waiter.WaitUncancellable();
}

}  // namespace

int pthread_barrier_init(pthread_barrier_t* barrier, const pthread_barrierattr_t* attributes, unsigned count) {
  int shared = PTHREAD_PROCESS_PRIVATE;
  if (attributes != nullptr) pthread_barrierattr_getpshared(attributes, &shared);
  if (shared == PTHREAD_PROCESS_SHARED) {
    const int result = real::pthread_barrier_init(barrier, attributes, count);
    if (result == 0) ToOurs(barrier)->is_the_c_librarys = 1;
    return result;
  }
  if (count == 0) return EINVAL;
  new (barrier) Barrier{.count = count, .arrived = 0, .round = 0, .inside = 0, .unused = {}, .is_the_c_librarys = 0};
  return 0;
}

int pthread_barrier_wait(pthread_barrier_t* barrier) {
  Barrier* const ours = ToOurs(barrier);
  if (ours->is_the_c_librarys != 0) return real::pthread_barrier_wait(barrier);
  ours->inside.fetch_add(1);
  const uint32_t round = ours->round.load();  // stays so at least until we have arrived
  const bool is_last = ours->arrived.fetch_add(1) + 1 == ours->count;
  if (is_last) {
    ours->arrived.store(0);
    ours->round.fetch_add(1);
    green::ParkingLot::WakeAll(&ours->round);
  } else {
    WaitUntil(&ours->round, [&] { return ours->round.load() != round; });
  }
  // From here on by its address only: it may be destroyed.
  const std::atomic<uint32_t>* const inside = &ours->inside;
  if (ours->inside.fetch_sub(1) == 1) green::ParkingLot::WakeAll(inside);
  return is_last ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

int pthread_barrier_destroy(pthread_barrier_t* barrier) {
  Barrier* const ours = ToOurs(barrier);
  if (ours->is_the_c_librarys != 0) return real::pthread_barrier_destroy(barrier);
  // Those who were let through may not have left yet.
  WaitUntil(&ours->inside, [&] { return ours->inside.load() == 0; });
  return 0;
}

}  // namespace greenring::posix::parking
