// A suspended flow of control, and the switch between two of them: the seam behind which the engines differ.
//
//   Context loop, thread;
//   thread.Make(Engine::kUcontext, stack_base, stack_size_bytes, &Main, argument);
//   SwitchContext(Engine::kUcontext, &loop, &thread);     // returns when something switches back to `loop`
//
// ucontext  makecontext(3) builds the first frame; switches are the compiler's __builtin_setjmp/__builtin_longjmp:
//           glibc's swapcontext makes a system call for the signal mask each time, and its _longjmp costs twice as
//           much.
// fcontext  Boost.Context's assembly; also keeps the SSE and x87 control words.
//
// Neither saves the signal mask. The entry function must not return. Sanitizers are told of every switch, here and only
// here. One OS thread only: a context never moves to another. Never parks by itself (it is the parking).
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/sanitizers.h"

#if GREENRING_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace greenring::green {

enum class Engine : uint8_t { kUcontext, kFcontext };

std::string_view EngineName(Engine engine);
// "ucontext" or "fcontext"; nothing for other names.
std::optional<Engine> EngineFromName(std::string_view name);

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
  const void* stack_pointer(Engine engine) const {
    if (engine == Engine::kFcontext) return stack_pointer_;
    return started_ ? registers_[2] : nullptr;
  }

 private:
  friend void SwitchContext(Engine engine, Context* from, Context* to);

  // What one side of an fcontext switch hands to the other.
  struct Transfer {
    Context* from;
    Context* to;
  };

  static void SwitchUcontext(Context* from, Context* to);
  static void SwitchFcontext(Context* from, Context* to);
  [[noreturn]] void ResumeUcontext();
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
    void* registers_[5];   // ucontext: frame, address and stack pointer; the rest is on the stack
    void* stack_pointer_;  // fcontext
  };
  bool started_ = true;  // ucontext: registers_ is there, or will be when somebody can switch here
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
[[gnu::always_inline]] inline void SwitchContext(Engine engine, Context* from, Context* to) {
  from->StartSwitch(to);
  if (engine == Engine::kUcontext) {
    Context::SwitchUcontext(from, to);
  } else {
    Context::SwitchFcontext(from, to);
  }
  from->FinishSwitch();
}

[[gnu::always_inline]] inline void Context::SwitchFcontext(Context* from, Context* to) {
  Transfer transfer{from, to};
  const boost::context::detail::transfer_t back = boost::context::detail::jump_fcontext(to->stack_pointer_, &transfer);
  // Whoever resumed us says where to find it again.
  static_cast<Transfer*>(back.data)->from->stack_pointer_ = back.fctx;
}

}  // namespace greenring::green
