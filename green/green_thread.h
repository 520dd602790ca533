// The control block of one green thread. It lives at the top of the green thread's own stack, so that a parked green
// thread costs no memory beside the stack pages it has touched.
//
//   GreenThread* self = Scheduler::Current()->current();
//   std::printf("%s %lu\n", self->name(), self->id());
//
// Owned by its Scheduler: made by Spawn, gone when its function has returned: the memory may then be unmapped.
// Scheduler's thread only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/intrusive_list.h"
#include "green/context.h"
#include "green/stack_slab.h"
#include "green/timer_queue.h"
#include "green/wait_note.h"

namespace greenring::green {

class Scheduler;
class ThreadKeys;
struct KeyValues;
struct ThreadStock;

// What the C and C++ runtimes keep per OS thread and a green thread must have of its own.
struct SavedThreadState {
  void* caught_exceptions = nullptr;  // __cxa_eh_globals
  unsigned int uncaught_exceptions = 0;
  int error_number = 0;
};

enum class ParkResult : uint8_t {
  kUnparked,   // Unpark was called, now or before
  kTimedOut,   // the deadline passed
  kCancelled,  // Cancel was called; stays pending until ClearCancel
};

class GreenThread : public ListLink {
 public:
  // The whole life of a green thread.
  enum class State : uint8_t {
    kFree,      // ended, or not yet spawned; its stack is kept for the next one
    kRunnable,  // in the run queue
    kRunning,
    kParked,
    kAbandoned,  // its stack overflowed for good: it never runs again, and its stack stays as it is
  };

  // The one that runs now on this OS thread; nullptr in a loop's context and on other OS threads. Never parks.
  static GreenThread* Current();

  uint64_t id() const { return id_; }
  const char* name() const { return name_; }
  // For one that does one thing after another; `name` lives until the next one, or the green thread's end.
  void set_name(const char* name) { name_ = name; }
  State state() const { return state_; }
  bool cancel_pending() const { return cancel_pending_; }
  const Stack& stack() const { return stack_; }
  Scheduler* scheduler() const { return scheduler_; }

  // It passes for the OS thread it runs on, see SpawnOptions.
  bool is_os_thread() const { return is_os_thread_; }

  // Its pthread_t (ioloop/posix/threads.h): its address with bit 0 set, which no OS thread's has, unless whoever
  // spawned it gave it another.
  uintptr_t handle() const { return handle_; }
  void set_handle(uintptr_t handle) { handle_ = handle; }

  // What it does while it is parked, noted by whoever parks it (scoped_wait.h). For dumps.
  const WaitNote& wait_note() const { return wait_note_; }
  WaitNote* mutable_wait_note() { return &wait_note_; }

  // When the Park that it is in ends by itself; kNeverNs: it does not.
  int64_t park_deadline_ns() const { return timer_.armed() ? timer_.deadline_ns() : kNeverNs; }

  // Times are in the scheduler's ticks (Scheduler::TicksToNs). Since when it is in its state. (Woken by a green thread,
  // it counts as queued from the beginning of that one's turn.)
  uint64_t since_ticks() const { return since_ticks_; }
  // How long it has had the OS thread, up to its last switch; CPU time but for what the system ran in between.
  uint64_t run_ticks() const { return run_ticks_; }
  // How often it was switched in.
  uint64_t switches() const { return switches_; }

  // The SwitchHook's own pointer.
  void* host_data() const { return host_data_; }
  void set_host_data(void* data) { host_data_ = data; }

  // What the host knows of the green thread (pyhost/interrupt.h); nullptr at its start.
  void* host_record() const { return host_record_; }
  void set_host_record(void* record) { host_record_ = record; }

  // The stack overflowed, and the green thread is in its reserve or has not closed it yet (stack_overflow.h).
  bool reserve_open() const { return reserve_open_; }

  // What the host noted when the reserve was opened; empty when it was not. For the SwitchHook.
  struct HostNote {
    void* state = nullptr;
    int taken[2] = {0, 0};
  };
  HostNote* reserve_note() { return &reserve_note_; }
  const HostNote* reserve_note() const { return &reserve_note_; }

  // Called in the loop's context when the green thread has been abandoned: its function will not return. Never parks.
  using AbandonedFunction = void (*)(GreenThread* thread, void* argument);
  void OnAbandoned(AbandonedFunction function, void* argument) {
    on_abandoned_ = function;
    on_abandoned_argument_ = argument;
  }
  void* on_abandoned_argument() const { return on_abandoned_argument_; }

  // Function objects given to Spawn fit in here.
  static constexpr size_t kFunctionBytesMax = 64;

 private:
  friend class Scheduler;
  friend class ThreadKeys;
  friend class RuntimeSection;
  friend class StackOverflow;

  // The deadline of the Park that the green thread is in.
  struct ParkTimer : Timer {
    explicit ParkTimer(GreenThread* thread) : Timer(&GreenThread::OnParkTimeout), thread(thread) {}
    GreenThread* const thread;
  };

  GreenThread(Scheduler* scheduler, ThreadStock* stock, const Stack& stack)
      : scheduler_(scheduler), stock_(stock), stack_(stack), timer_(this) {}

  // The one place where a state changes; checks that the life above allows it.
  void MoveTo(State next) {
    GREENRING_DCHECK(MayMoveTo(next));
    state_ = next;
  }
  bool MayMoveTo(State next) const;
  static void OnParkTimeout(Timer* timer);

  Scheduler* const scheduler_;
  ThreadStock* const stock_;
  const Stack stack_;
  Context context_;
  SavedThreadState saved_;
  State state_ = State::kFree;
  bool permit_ = false;          // an Unpark came before the Park
  bool cancel_pending_ = false;  // until ClearCancel
  bool cancellable_ = false;     // the Park it is in ends with a Cancel
  bool is_os_thread_ = false;
  bool reserve_open_ = false;
  bool abandon_due_ = false;   // as soon as it has left the last RuntimeSection
  uint8_t section_depth_ = 0;  // RuntimeSections that it is in
  ParkResult park_result_ = ParkResult::kUnparked;
  uint64_t id_ = 0;
  uintptr_t handle_ = 0;
  const char* name_ = "";
  void* host_data_ = nullptr;
  void* host_record_ = nullptr;
  KeyValues* key_values_ = nullptr;  // pthread keys, see thread_keys.h
  ParkTimer timer_;
  WaitNote wait_note_;
  uint64_t since_ticks_ = 0;
  uint64_t run_ticks_ = 0;
  uint64_t switches_ = 0;
  GreenThread* next_ever_ = nullptr;  // of all control blocks that the scheduler has
  GreenThread* previous_ever_ = nullptr;
  GreenThread* next_free_ = nullptr;  // also among those abandoned whose owners have not been told
  HostNote reserve_note_;
  AbandonedFunction on_abandoned_ = nullptr;
  void* on_abandoned_argument_ = nullptr;
  GreenThread* remote_next_ = nullptr;      // in the scheduler's door
  std::atomic<bool> remote_queued_{false};  // it is in there
  void (*invoke_)(void* storage) = nullptr;
  alignas(std::max_align_t) std::byte function_storage_[kFunctionBytesMax];
};

}  // namespace greenring::green
