// What happens when a green thread needs more than its stack: that green thread pays for it, nobody else.
//
//   InstallStackOverflowHandler();       // once, early; again after others have installed their SIGSEGV handlers
//   StackOverflowSignalStack stack;      // on each OS thread that runs green threads: the handler needs a stack
//
//     top     +---------------------------+
//             | the stack                 |
//     base    +---------------------------+
//             | reserve, in three stages  |   a fault here: the stage is opened, the host is asked to end the recursion
//             |                           |   (SwitchHook::OnReserveEntered), and the green thread goes on
//             +---------------------------+
//             | guard                     |   a fault here: the green thread is abandoned
//             +---------------------------+
//
// Abandoned: the signal handler returns not to the faulting instruction but to ordinary code on an emergency stack,
// which detaches the host (SwitchHook::OnAbandoned) and switches to the loop; the green thread's owner is told there
// (GreenThread::OnAbandoned). Its frames are not unwound: no destructor runs, locks that it holds stay locked, memory
// that they own stays allocated. If it was in the C library's allocator, the next call of that may hang. So what is in
// flight should be finished, and the process end soon: SetAbandonAlarm tells whoever sees to that in any case.
//
// What the scheduler does on that stack is finished first (RuntimeSection). Other code of the runtime that the fault
// interrupts is left in the middle.
//
// The process dies of the signal, as it would have anyway, with a message that says why: when the fault is in the
// guard's last page, in the guard of another green thread's stack, on the green thread that passes for the OS thread,
// in a section for the second time, when there is no StackOverflowSignalStack here, or on processors other than x86-64
// and AArch64. Faults elsewhere go to the handler that was there before.
//
// A frame larger than reserve and guard together (112 KiB) may jump over them: compile such code with
// -fstack-clash-protection (Debian's packages are).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace greenring::green {

// At each call, takes the place of the handler that is installed then, if it is not ours. Not in two threads at a time.
// Never parks.
void InstallStackOverflowHandler();

// `alarm` is called before a green thread is abandoned, in the fault's signal handler: async-signal-safe. One for the
// process; nullptr: none.
void SetAbandonAlarm(void (*alarm)());

// The alternate signal stack and the emergency stack of the OS thread that makes it, until it is destroyed there.
class StackOverflowSignalStack {
 public:
  StackOverflowSignalStack();
  ~StackOverflowSignalStack();
  StackOverflowSignalStack(const StackOverflowSignalStack&) = delete;
  StackOverflowSignalStack& operator=(const StackOverflowSignalStack&) = delete;

 private:
  std::unique_ptr<char[]> memory_;
  bool signal_stack_installed_ = false;
};

// Has an overflow of the stack of the OS thread that makes it, and does not run green threads, cost that OS thread
// only, while this lives: what it did is abandoned as that of a green thread, its memory and locks with it. `on_lost`
// is called in its place, on an emergency stack; once that has returned the OS thread sleeps for ever, and nothing of
// what was on its stack may be destroyed. The abandon alarm is told before. Where the interrupted code cannot be left
// (processors other than those above) the process dies of the signal, with a message that says why.
class OsThreadStack {
 public:
  OsThreadStack(void (*on_lost)(void* argument), void* argument);
  ~OsThreadStack();
  OsThreadStack(const OsThreadStack&) = delete;
  OsThreadStack& operator=(const OsThreadStack&) = delete;

  // Of guard below the stack that an OS thread with one of these is to be started with (pthread_attr_setguardsize):
  // larger frames may jump over it.
  static constexpr size_t kGuardBytes = size_t{128} << 10;

 private:
  friend class OsThreadOverflow;

  StackOverflowSignalStack signal_stack_;
  void (*const on_lost_)(void* argument);
  void* const argument_;
  uintptr_t guard_begin_ = 0;
  uintptr_t begin_ = 0;
  uintptr_t end_ = 0;
};

}  // namespace greenring::green
