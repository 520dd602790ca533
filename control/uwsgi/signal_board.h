// uWSGI's signal framework of one pool: who has registered which signal, what sends signals by itself, and to which
// workers each one goes.
//
//   SignalBoard board(&timers, &host);
//   absl::Status status = board.Register(worker, 17, "workers");   // as a worker says while it imports the application
//   status = board.AddTimer(worker, 17, {.period_ns = kNanosecondsPerSecond});
//   status = board.Send(17);                                       // host->Deliver for each worker it goes to
//   board.OnWorkerEnded(worker);
//
// Each worker imports the application for itself, and says the same as the others: what it says before it is ready is
// one with what another worker has said so. The registration that came last holds. What only workers have said that
// have ended is kept for kKeepNs, for those that take their places: a timer goes on in its rhythm, and one that has
// sent all its signals does not begin again.
//
// A worker that has not taken a signal yet gets the same one from timers once only, and no more than kPendingMax of
// any: the rest is dropped, counted, and told once until it takes signals again. On the reactor's thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "control/timers.h"
#include "control/uwsgi/cron_schedule.h"
#include "control/uwsgi/file_monitor.h"

namespace greenring::control {

class SignalBoard {
 public:
  using WorkerNumber = int64_t;

  static constexpr int kSignals = 256;
  static constexpr int kSourcesMax = 64;  // of each kind, as in uWSGI
  static constexpr int kPendingMax = 64;  // of one worker
  static constexpr int64_t kKeepNs = 60 * kNanosecondsPerSecond;
  static constexpr int64_t kPeriodMinNs = kNanosecondsPerMillisecond;
  // A hundred years: an instant that is so far from now can still be said in nanoseconds.
  static constexpr int64_t kPeriodMaxNs = int64_t{100} * 365 * 24 * 3600 * kNanosecondsPerSecond;

  struct ReadyWorker {
    WorkerNumber number;
    int slot;
  };

  // None of these calls the board, but later.
  class Host {
   public:
    // By slot.
    virtual std::vector<ReadyWorker> ReadyWorkers() = 0;
    // `done` is told whether it has taken the signal; later, and not after the board's end.
    virtual void Deliver(WorkerNumber worker, int signal, std::function<void(bool taken)> done) = 0;
    virtual void Warn(const std::string& what) = 0;

   protected:
    ~Host() = default;
  };

  struct Timer {
    int64_t period_ns = 0;
    int64_t iterations = 0;  // 0: for ever
    bool from_last = false;  // the next period begins when a signal was sent, however late that was

    friend bool operator==(const Timer&, const Timer&) = default;
  };

  SignalBoard(Timers* timers, Host* host) : timers_(timers), host_(host), files_(timers) {}
  SignalBoard(const SignalBoard&) = delete;
  SignalBoard& operator=(const SignalBoard&) = delete;

  // ---- what workers say; INVALID_ARGUMENT says what is wrong with it, RESOURCE_EXHAUSTED that there are too many ----

  // `target`: "", "worker", "worker0": any one; "workers", "active-workers": all; "worker2": that one, also where the
  // pool has no second one now: it may have one later.
  absl::Status Register(WorkerNumber worker, int signal, const std::string& target);
  // The one that `name` stands for in this pool: whoever asks first has it chosen, from those that are free.
  absl::StatusOr<int> SignalFor(WorkerNumber worker, const std::string& name);
  absl::Status AddTimer(WorkerNumber worker, int signal, const Timer& timer);
  absl::Status AddCron(WorkerNumber worker, int signal, const CronSchedule& schedule);
  absl::Status AddFileMonitor(WorkerNumber worker, int signal, const std::string& path);

  // NOT_FOUND: nobody has registered it; UNAVAILABLE: no worker that has is ready.
  absl::Status Send(int signal) { return Send(signal, /*by_itself=*/false); }
  bool IsRegistered(int signal) const;

  // ---- what becomes of workers ----

  void OnWorkerReady(WorkerNumber worker);
  void OnWorkerEnded(WorkerNumber worker);

  // Signals that the worker has taken.
  int64_t TakenBy(WorkerNumber worker) const;
  int64_t dropped() const { return dropped_; }

 private:
  // Who has said something, and until when it is kept when all of them have ended.
  struct Claim {
    std::set<WorkerNumber> workers;
    int64_t keep_until_ns = kNeverNs;
  };
  struct Registration : Claim {
    std::string target;
  };
  enum class Kind { kTimer, kCron, kFile };
  struct Source : Claim {
    Source(Kind of_kind, int to_send) : kind(of_kind), signal(to_send) {}

    Kind kind;
    int signal;
    bool shared = false;  // said while the application was imported: each worker says it
    Timer timer = {};
    CronSchedule cron = {};
    std::string path = {};

    int64_t due_ns = 0;
    int64_t sent = 0;
    std::unique_ptr<Timers::Timer> alarm = {};
    int file = 0;  // FileMonitor's
  };
  struct Worker {
    bool ready = false;
    std::map<int, int> pending;  // signals that it has not taken
    int pending_count = 0;
    int64_t taken = 0;
    bool told_of_drops = false;
  };

  static absl::Status CheckSignal(int signal);
  absl::StatusOr<std::vector<ReadyWorker>> Addressees(int signal);
  absl::Status Send(int signal, bool by_itself);
  void Deliver(WorkerNumber worker, int signal, bool by_itself);
  Source* Adopt(WorkerNumber worker, const Source& wanted);
  absl::StatusOr<Source*> AddSource(WorkerNumber worker, Source source);
  void SetAlarm(Source* source);
  void OnAlarm(Source* source);
  void AwaitMinute();
  void OnMinute();
  void Claimed(Claim* claim, WorkerNumber worker);
  void Unclaimed(Claim* claim, WorkerNumber worker);
  void SweepLater();
  void Sweep();
  void Remove(std::list<Source>::iterator source);

  Timers* const timers_;
  Host* const host_;
  FileMonitor files_;
  std::map<WorkerNumber, Worker> workers_;
  std::map<int, Registration> registrations_;
  struct Name : Claim {
    int signal;
  };
  std::map<std::string, Name> names_;
  std::list<Source> sources_;
  std::map<int, int> last_slot_;  // that a signal for any one worker went to
  std::unique_ptr<Timers::Timer> minute_;
  int64_t last_minute_ = 0;  // that schedules were looked at in, since 1970
  std::unique_ptr<Timers::Timer> sweep_;
  int64_t dropped_ = 0;
};

}  // namespace greenring::control
