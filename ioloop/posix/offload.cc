#include "ioloop/posix/offload.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstddef>
#include <mutex>

#include "base/check.h"
#include "base/clock.h"
#include "green/parking_lot.h"
#include "ioloop/posix/interposer.h"
#include "ioloop/posix/os_lock.h"

namespace greenring::posix {
namespace {

constexpr int64_t kIdleNs = 5 * kNanosecondsPerSecond;

// On the stack of who waits for it.
struct Job {
  void (*function)(void* argument);
  void* argument;
  int error_number = 0;
  int host_error_number = 0;
  Job* next = nullptr;
  std::atomic<bool> done{false};
};

// Static, and never destroyed: helper threads may outlive main.
struct Pool {
  OsLock lock;
  Job* first = nullptr;
  Job* last = nullptr;
  int queued = 0;
  int helpers = 0;
  int idle = 0;      // of the helpers
  int starting = 0;  // not yet helpers
};

constinit Pool pool;

void Run(Job* job) {
  errno = 0;
  h_errno = 0;
  job->function(job->argument);
  job->error_number = errno;
  job->host_error_number = h_errno;
  const void* const address = job;
  // The last touch: from here on the job may be gone. A wake for its address is harmless to whoever is there then.
  job->done.exchange(true, std::memory_order_acq_rel);
  green::ParkingLot::WakeOne(address);
}

Job* TakeFirst() {
  Job* const job = pool.first;
  if (job == nullptr) return nullptr;
  pool.first = job->next;
  --pool.queued;
  return job;
}

// The next job; nullptr when none has come for a while: the helper is not counted any more. Blocks.
Job* AwaitJob() {
  green::ParkingLot::Waiter waiter(&pool);
  std::unique_lock<OsLock> lock(pool.lock);
  ++pool.idle;
  const int64_t deadline_ns = Clock::Monotonic()->NowNs() + kIdleNs;
  for (bool in_time = true;;) {
    if (Job* const job = TakeFirst(); job != nullptr || !in_time) {
      --pool.idle;
      if (job == nullptr) --pool.helpers;
      return job;
    }
    lock.unlock();
    in_time = waiter.Wait(deadline_ns) == green::ParkResult::kUnparked;
    lock.lock();
  }
}

void* HelperMain(void*) {
  while (Job* const job = AwaitJob()) Run(job);
  return nullptr;
}

// An OS thread, whatever threads of others are.
bool StartHelper() {
  pthread_attr_t attributes;
  sigset_t all;
  sigfillset(&all);
  GREENRING_CHECK(pthread_attr_init(&attributes) == 0);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setsigmask_np(&attributes, &all);
  pthread_t thread;
  const bool started = real::pthread_create(&thread, &attributes, &HelperMain, nullptr) == 0;
  pthread_attr_destroy(&attributes);
  return started;
}

void OnForkInChild() {
  pool.lock.ForgetAfterFork();
  pool.first = pool.last = nullptr;
  pool.queued = pool.helpers = pool.idle = pool.starting = 0;
}

// Takes it out of the line. False: a helper has it. The lock is held.
bool Withdraw(Job* job) {
  Job* previous = nullptr;
  for (Job** link = &pool.first; *link != nullptr; previous = *link, link = &(*link)->next) {
    if (*link != job) continue;
    *link = job->next;
    if (pool.last == job) pool.last = previous;
    --pool.queued;
    return true;
  }
  return false;
}

// Puts it in line, with a helper to come. False: there is none and none can be made.
bool Post(Job* job) {
  bool start;
  {
    std::lock_guard<OsLock> lock(pool.lock);
    (pool.first != nullptr ? pool.last->next : pool.first) = job;
    pool.last = job;
    ++pool.queued;
    start = pool.queued > pool.idle + pool.starting && pool.helpers + pool.starting < kHelpersMax;
    if (start) ++pool.starting;
  }
  green::ParkingLot::WakeOne(&pool);
  if (!start) return true;
  const bool started = StartHelper();
  std::lock_guard<OsLock> lock(pool.lock);
  --pool.starting;
  if (started) ++pool.helpers;
  return pool.helpers > 0 || !Withdraw(job);
}

}  // namespace

void OffloadCall(void (*function)(void* argument), void* argument) {
  static const int registered = pthread_atfork(nullptr, nullptr, &OnForkInChild);
  GREENRING_CHECK(registered == 0);
  Job job{.function = function, .argument = argument};
  if (!Post(&job)) return function(argument);
  green::ParkingLot::Waiter waiter(&job);
  while (!job.done.load(std::memory_order_acquire)) waiter.WaitUncancellable();
  errno = job.error_number;
  h_errno = job.host_error_number;
}

int HelperCount() {
  std::lock_guard<OsLock> lock(pool.lock);
  return pool.helpers;
}

}  // namespace greenring::posix
