// Ctrl-C, delivered to whatever waits just now.
//
//   Interrupt::Handler handler(environment.interrupt, [&] { cancellation.Cancel(); });
//   ... wait ...
//
// Thread-safe.
#pragma once

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace greenring::greenctl {

class Interrupt {
 public:
  // While it exists, Trigger calls `function`, on the thread that calls Trigger. One at a time.
  class Handler {
   public:
    Handler(Interrupt* interrupt, std::function<void()> function);
    ~Handler();
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;

   private:
    Interrupt* const interrupt_;
  };

  // False when nobody waits, or was told already: the process should end.
  bool Trigger();

 private:
  absl::Mutex mutex_;
  std::function<void()> function_ ABSL_GUARDED_BY(mutex_);
  bool called_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace greenring::greenctl
