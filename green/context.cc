#include "green/context.h"

#include <pthread.h>
#include <threads.h>
#include <ucontext.h>

#include "base/check.h"
#include "base/sanitizers.h"

#if GREENRING_ASAN
#include <sanitizer/asan_interface.h>
#endif

// By clang 14's ASan either, which goes by its own attribute.
#define UNINSTRUMENTED GREENRING_UNINSTRUMENTED __attribute__((no_sanitize("address")))

namespace greenring::green {
namespace {

// What jump_fcontext keeps beside the registers that every call keeps.
#if defined(__x86_64__)
struct ControlWords {
  uint32_t mxcsr;
  uint16_t x87;
};

inline ControlWords ReadControlWords() {
  ControlWords words;
  asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(words.mxcsr), "=m"(words.x87));
  return words;
}

inline void WriteControlWords(const ControlWords& words) {
  asm volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(words.mxcsr), "m"(words.x87));
}
#else
struct ControlWords {};
inline ControlWords ReadControlWords() { return {}; }
inline void WriteControlWords(const ControlWords&) {}
#endif

}  // namespace

std::string_view EngineName(Engine engine) {
  switch (engine) {
    case Engine::kUcontext:
      return "ucontext";
    case Engine::kFcontext:
      return "fcontext";
  }
  return "unknown";
}

Context::~Context() {
#if GREENRING_TSAN
  if (entry_ != nullptr) __tsan_destroy_fiber(sanitizer_fiber_);
#endif
#if GREENRING_ASAN
  // Its frames are never left, so their red zones are still there.
  if (entry_ != nullptr) ASAN_UNPOISON_MEMORY_REGION(stack_base_, stack_size_bytes_);
#endif
}

void Context::TellAsanOfLeave([[maybe_unused]] Context* to) {
#if GREENRING_ASAN
  if (stack_base_ == nullptr) {  // an OS thread's own stack
    pthread_attr_t attributes;
    void* base;
    // C11's name for the OS thread's own pthread_self: POSIX's may be ours, and answer for the green thread `to`.
    GREENRING_CHECK(pthread_getattr_np(thrd_current(), &attributes) == 0);
    pthread_attr_getstack(&attributes, &base, &stack_size_bytes_);
    stack_base_ = base;
    pthread_attr_destroy(&attributes);
  }
  __sanitizer_start_switch_fiber(&fake_stack_, to->stack_base_, to->stack_size_bytes_);
#endif
}

void Context::TellAsanOfReturn() {
#if GREENRING_ASAN
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

void Context::UcontextMain(unsigned int high, unsigned int low) {
  Context* self = reinterpret_cast<Context*>((static_cast<uintptr_t>(high) << 32) | low);
  self->FinishSwitch();
  self->entry_(self->argument_);
  GREENRING_CHECK(!"a context's entry function returned");
}

void Context::Make(Engine engine, void* stack_base, size_t stack_size_bytes, Entry entry, void* argument) {
  entry_ = entry;
  argument_ = argument;
  stack_base_ = stack_base;
  stack_size_bytes_ = stack_size_bytes;
#if GREENRING_TSAN
  sanitizer_fiber_ = __tsan_create_fiber(0);
#endif
  GREENRING_CHECK(engine == Engine::kUcontext || engine == Engine::kFcontext);
  if (engine == Engine::kUcontext) {
    flow_ = Flow::kUcontext;
    suspension_ = Suspension::kNotStarted;
    return;
  }
  flow_ = Flow::kFcontext;
  suspension_ = Suspension::kStackPointer;
  stack_pointer_ =
      boost::context::detail::make_fcontext(static_cast<char*>(stack_base) + stack_size_bytes, stack_size_bytes,
                                            [](boost::context::detail::transfer_t transfer) {
                                              const Transfer* sent = static_cast<Transfer*>(transfer.data);
                                              *sent->left_at = transfer.fctx;
                                              Context* self = sent->to;
                                              self->FinishSwitch();
                                              self->entry_(self->argument_);
                                              GREENRING_CHECK(!"a context's entry function returned");
                                            });
}

// Not instrumented: the frame, on the stack of whoever switches, is left by a jump that ASan does not know.
UNINSTRUMENTED void Context::StartUcontext() {
  // Built here, at the first switch, so that no ucontext_t (about 1 KiB) has to be kept for it.
  ucontext_t first;
  GREENRING_CHECK(getcontext(&first) == 0);
  first.uc_stack.ss_sp = const_cast<void*>(stack_base_);
  first.uc_stack.ss_size = stack_size_bytes_;
  first.uc_link = nullptr;
  const uintptr_t address = reinterpret_cast<uintptr_t>(this);
  makecontext(&first, reinterpret_cast<void (*)()>(&Context::UcontextMain), 2, static_cast<unsigned int>(address >> 32),
              static_cast<unsigned int>(address));
  setcontext(&first);
  GREENRING_CHECK(!"setcontext returned");
}

// Functions of their own, never inlined: __builtin_longjmp may not stand in the function of its __builtin_setjmp, and
// nothing with a __builtin_setjmp can be inlined. Not instrumented: who enters them on one stack may leave on another
// by another of them.
UNINSTRUMENTED __attribute__((noinline, noreturn)) void Context::ResumeByRegisters() {
  if (suspension_ == Suspension::kNotStarted) StartUcontext();
  __builtin_longjmp(registers_, 1);
}

// For a flow that has saved itself already: what is noted of it here is thrown away.
UNINSTRUMENTED __attribute__((noinline, noreturn)) void Context::ResumeByStackPointer() {
  void* unused;
  Transfer transfer{&unused, this};
  boost::context::detail::jump_fcontext(stack_pointer_, &transfer);
  __builtin_unreachable();
}

UNINSTRUMENTED __attribute__((noinline)) void Context::SwitchByRegisters(Context* from, Context* to) {
  from->suspension_ = Suspension::kRegisters;
  if (__builtin_setjmp(from->registers_) == 0) to->ResumeByRegisters();
}

UNINSTRUMENTED __attribute__((noinline)) void Context::LeaveUcontextForFcontext(Context* from, Context* to) {
  from->suspension_ = Suspension::kRegisters;
  if (__builtin_setjmp(from->registers_) == 0) to->ResumeByStackPointer();
}

UNINSTRUMENTED __attribute__((noinline)) void Context::LeaveFcontextForUcontext(Context* from, Context* to) {
  const ControlWords words = ReadControlWords();
  SwitchByRegisters(from, to);
  WriteControlWords(words);
}

}  // namespace greenring::green
