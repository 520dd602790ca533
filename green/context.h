// A suspended flow of control, and the switch between two of them: the seam behind which the engines differ.
//
//   Context loop, thread;
//   thread.Make(Engine::kUcontext, stack_base, stack_size_bytes, &Main, argument);
//   SwitchContext(&loop, &thread);                        // returns when something switches back to `loop`
//
// ucontext  makecontext(3) builds the first frame; switches are the compiler's __builtin_setjmp/__builtin_longjmp:
//           glibc's swapcontext makes a system call for the signal mask each time, and its _longjmp costs twice as
//           much.
// fcontext  Boost.Context's assembly; also keeps the SSE and x87 control words.
//
// Contexts of both engines may switch to each other: each remembers how it was suspended, and whoever resumes it goes
// by that. One of fcontext that leaves for one of ucontext is suspended in ucontext's way, once, and keeps its control
// words all the same; an OS thread's own flow is suspended as suits whom it leaves for.
//
// Neither saves the signal mask. The entry function must not return. Sanitizers are told of every switch, here and only
// here. One OS thread only: a context never moves to another. Never parks by itself (it is the parking).
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/sanitizers.h"

#if GREENRING_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace greenring::green {

enum class Engine : uint8_t {
  kUcontext,
  kFcontext,
};

std::string_view EngineName(Engine engine);

class Context {
 public:
  using Entry = void (*)(void* argument);

  // For the flow that is running already: it becomes whole when it is switched away from.
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  // Prepares `entry(argument)` to start on the given memory at the first switch to this context. With ucontext that
  // first switch makes two system calls; a scheduler reuses contexts together with their stacks, so once for each.
  void Make(Engine engine, void* stack_base, size_t stack_size_bytes, Entry entry, void* argument);

  // Where the stack pointer is of one that is suspended; nullptr before its first switch.
  const void* stack_pointer() const {
    if (suspension_ == Suspension::kStackPointer) return stack_pointer_;
    return suspension_ == Suspension::kRegisters ? registers_[2] : nullptr;
  }

 private:
  friend void SwitchContext(Context* from, Context* to);

  // Whose flow it is: decides how it leaves.
  enum class Flow : uint8_t { kOsThread, kUcontext, kFcontext };

  // How to resume it. Of the running one: how it was suspended last.
  enum class Suspension : uint8_t {
    kNotStarted,    // of ucontext, before its first switch
    kRegisters,     // by __builtin_longjmp
    kStackPointer,  // by jump_fcontext
  };

  // What one side of an fcontext switch hands to the other.
  struct Transfer {
    void** left_at;  // gets the stack pointer of whoever has left
    Context* to;
  };

  static void SwitchByRegisters(Context* from, Context* to);
  static void SwitchByStackPointer(Context* from, Context* to);
  static void LeaveUcontextForFcontext(Context* from, Context* to);
  static void LeaveFcontextForUcontext(Context* from, Context* to);
  [[noreturn]] void ResumeByRegisters();
  [[noreturn]] void ResumeByStackPointer();
  void StartUcontext();
  static void UcontextMain(unsigned int high, unsigned int low);  // makecontext passes ints only

  // Tell the sanitizers that the running flow (this) is about to leave for `to`, and that it runs again, or for the
  // first time. Inlined for TSan, whose record of calls must be entered and left on the same flow.
  [[gnu::always_inline]] void StartSwitch([[maybe_unused]] Context* to) {
#if GREENRING_TSAN
    if (sanitizer_fiber_ == nullptr) sanitizer_fiber_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->sanitizer_fiber_, 0);
#endif
    if constexpr (GREENRING_ASAN) TellAsanOfLeave(to);
  }
  [[gnu::always_inline]] void FinishSwitch() {
    if constexpr (GREENRING_ASAN) TellAsanOfReturn();
  }
  void TellAsanOfLeave(Context* to);
  void TellAsanOfReturn();

  union {
    void* registers_[5];   // kRegisters: frame, address and stack pointer; the rest is on the stack
    void* stack_pointer_;  // kStackPointer
  };
  Suspension suspension_ = Suspension::kRegisters;
  Flow flow_ = Flow::kOsThread;
  Entry entry_ = nullptr;
  void* argument_ = nullptr;

  // Of an OS thread's own stack these are filled in at its first switch, and only under ASan.
  const void* stack_base_ = nullptr;
  size_t stack_size_bytes_ = 0;

  [[maybe_unused]] void* sanitizer_fiber_ = nullptr;  // TSan
  [[maybe_unused]] void* fake_stack_ = nullptr;       // ASan
};

// Suspends the running flow into `from` and resumes `to`. Inline as far as it goes: a `ret` on the other stack goes
// where the processor did not predict, and costs as much as all the rest.
[[gnu::always_inline]] inline void SwitchContext(Context* from, Context* to) {
  from->StartSwitch(to);
  if (to->suspension_ == Context::Suspension::kStackPointer) {
    if (from->flow_ != Context::Flow::kUcontext) {
      Context::SwitchByStackPointer(from, to);
    } else {
      Context::LeaveUcontextForFcontext(from, to);
    }
  } else if (from->flow_ != Context::Flow::kFcontext) {
    Context::SwitchByRegisters(from, to);
  } else {
    Context::LeaveFcontextForUcontext(from, to);
  }
  from->FinishSwitch();
}

[[gnu::always_inline]] inline void Context::SwitchByStackPointer(Context* from, Context* to) {
  from->suspension_ = Suspension::kStackPointer;
  Transfer transfer{&from->stack_pointer_, to};
  const boost::context::detail::transfer_t back = boost::context::detail::jump_fcontext(to->stack_pointer_, &transfer);
  // Whoever resumed us says where to find it again.
  *static_cast<Transfer*>(back.data)->left_at = back.fctx;
}

}  // namespace greenring::green
