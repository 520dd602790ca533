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
#include "green/scoped_wait.h"
#include "ioloop/posix/interposer.h"
#include "ioloop/posix/os_lock.h"

namespace greenring::posix {
namespace {

constexpr int64_t kIdleNs = 5 * kNanosecondsPerSecond;

// How long a job waits for the helpers that there are before one more is started for it: most take microseconds, and
// need not be as many threads as they are jobs.
constexpr int64_t kPatienceNs = 2 * kNanosecondsPerMillisecond;

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

// One more helper, unless there are enough. The lock is held, and given up meanwhile.
void AddHelper(std::unique_lock<OsLock>* lock) {
  if (pool.helpers + pool.starting >= kHelpersMax) return;
  ++pool.starting;
  lock->unlock();
  const bool started = StartHelper();
  lock->lock();
  --pool.starting;
  if (started) ++pool.helpers;
}

// Puts it in line. False: there is no helper, and none can be made.
bool Post(Job* job) {
  {
    std::unique_lock<OsLock> lock(pool.lock);
    (pool.first != nullptr ? pool.last->next : pool.first) = job;
    pool.last = job;
    ++pool.queued;
    if (pool.helpers + pool.starting == 0) AddHelper(&lock);
    if (pool.helpers + pool.starting == 0 && Withdraw(job)) return false;
  }
  green::ParkingLot::WakeOne(&pool);
  return true;
}

// Nobody has taken it for a while: the helpers are all at something long.
void Hasten(Job* job) {
  std::unique_lock<OsLock> lock(pool.lock);
  const bool is_queued = Withdraw(job);
  if (!is_queued) return;
  job->next = pool.first;  // where it has stood so long
  if (pool.first == nullptr) pool.last = job;
  pool.first = job;
  ++pool.queued;
  AddHelper(&lock);
}

}  // namespace

void OffloadCall(void (*function)(void* argument), void* argument) {
  static const int registered = pthread_atfork(nullptr, nullptr, &OnForkInChild);
  GREENRING_CHECK(registered == 0);
  Job job{.function = function, .argument = argument};
  if (!Post(&job)) return function(argument);
  const green::ScopedWait noted(green::GreenThread::Current(), {});
  green::ParkingLot::Waiter waiter(&job);
  int64_t deadline_ns = Clock::Monotonic()->NowNs() + kPatienceNs;
  while (!job.done.load(std::memory_order_acquire)) {
    if (waiter.WaitUncancellable(deadline_ns) != green::ParkResult::kTimedOut) continue;
    Hasten(&job);
    deadline_ns = kNeverNs;
  }
  errno = job.error_number;
  h_errno = job.host_error_number;
}

int HelperCount() {
  std::lock_guard<OsLock> lock(pool.lock);
  return pool.helpers;
}

}  // namespace greenring::posix
