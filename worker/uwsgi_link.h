// How Python code asks the master, whichever thread it is on, before the loop runs and while it does.
//
//   UwsgiLink link(master);                                   // of MasterStart; nullptr: there is none
//   link.TakeOver(&scheduler, [&] { ...; return &master_link; });   // from now on over the loop
//   absl::StatusOr<v1::UwsgiAnswer> answer = link.Ask(call);
//   link.Stop();                                              // before MasterLink::Stop
//
// While the application is imported there is no loop: the question goes over the socket itself, and the OS thread waits
// for its answer. What else the master says meanwhile is kept for the loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "green/scheduler.h"
#include "greenring/worker/v1/link.pb.h"
#include "worker/master_link.h"
#include "worker/master_start.h"
#include "worker/python_wait.h"

namespace greenring::worker {

class UwsgiLink {
 public:
  explicit UwsgiLink(MasterStart* master) : master_(master) {}
  UwsgiLink(const UwsgiLink&) = delete;
  UwsgiLink& operator=(const UwsgiLink&) = delete;

  // `make` makes the MasterLink of what is left in the MasterStart; it lives until after Stop. Before the loop runs, on
  // its OS thread, GIL held.
  void TakeOver(green::Scheduler* scheduler, const std::function<MasterLink*()>& make);

  // On the loop's OS thread. Never parks.
  void Stop();

  // The master's answer; its code is not looked at. UNAVAILABLE: there is no master, or it has gone. CANCELLED: the
  // wait was interrupted, a Python error is set, and a lock that is granted all the same is given back. Any OS thread,
  // GIL held. Parks; an OS thread blocks, without the GIL.
  absl::StatusOr<v1::UwsgiAnswer> Ask(const v1::UwsgiCall& call);

 private:
  using Wait = PythonWait<absl::StatusOr<v1::UwsgiAnswer>>;
  struct Question {
    v1::UwsgiCall call;
    std::shared_ptr<Wait> wait;
  };

  absl::StatusOr<v1::UwsgiAnswer> AskBeforeLoop(const v1::UwsgiCall& call) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<v1::UwsgiAnswer> Exchange(const v1::UwsgiCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReceiveMore() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send(Question question);
  void GiveBack(const v1::UwsgiCall& call);
  void ServeOtherThreads();

  MasterStart* const master_;

  absl::Mutex mutex_;
  bool taken_over_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Question> from_others_ ABSL_GUARDED_BY(mutex_);     // other OS threads'
  green::GreenThread* asker_ ABSL_GUARDED_BY(mutex_) = nullptr;  // sends them; nullptr: the loop has ended

  int64_t last_id_ = 0;  // before the loop
  green::Scheduler* scheduler_ = nullptr;
  MasterLink* link_ = nullptr;
  bool stopping_ = false;
};

}  // namespace greenring::worker
