// Things that share one timeout, in the order in which they started to wait: the oldest is the first to be due.
//
//   DeadlineList<Connection> idle;
//   idle.Touch(connection, loop_now_ns + keepalive_timeout_ns);    // (re)starts its wait
//   while (Connection* due = idle.PopDue(loop_now_ns)) due->OnTimeout();
//
// O(1) each; T derives from DeadlineLink and is in one list at a time. Unlink() takes it out. Loop's thread only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "base/intrusive_list.h"

namespace greenring::worker {

struct DeadlineLink : ListLink {
  int64_t deadline_ns = kNeverNs;
};

template <typename T>
class DeadlineList {
 public:
  // Deadlines must not decrease from call to call.
  void Touch(T* element, int64_t deadline_ns) {
    element->Unlink();
    element->deadline_ns = deadline_ns;
    list_.PushBack(element);
  }

  // The first element if it is due at `now_ns`, taken out; nullptr otherwise.
  T* PopDue(int64_t now_ns) {
    T* first = list_.front();
    return first != nullptr && first->deadline_ns <= now_ns ? list_.PopFront() : nullptr;
  }

  T* PopFront() { return list_.PopFront(); }

  // Who would be due later is due at `deadline_ns`: so shorter timeouts may follow longer ones.
  void LimitTo(int64_t deadline_ns) {
    IntrusiveList<T> all;
    while (T* element = list_.PopFront()) all.PushBack(element);
    while (T* element = all.PopFront()) {
      element->deadline_ns = std::min(element->deadline_ns, deadline_ns);
      list_.PushBack(element);
    }
  }

  bool empty() const { return list_.empty(); }

 private:
  IntrusiveList<T> list_;
};

}  // namespace greenring::worker
