#include "green/stack_overflow.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>

#include "base/check.h"
#include "green/scheduler.h"

namespace greenring::green {
namespace {

// Room for the frame with AVX-512 and AMX state (11 KiB) and snprintf.
constexpr size_t kSignalStackBytes = 64 * 1024;
// For what the host does when a green thread is abandoned, and signals that come meanwhile.
constexpr size_t kEmergencyStackBytes = 64 * 1024;

struct sigaction previous_action;
std::atomic<void (*)()> abandon_alarm{nullptr};
constinit thread_local char* emergency_stack_top = nullptr;
constinit thread_local OsThreadStack* os_thread_stack = nullptr;

// ---- the interrupted code's registers ----

#if defined(__x86_64__)
const void* StackPointerOf(const ucontext_t& context) {
  return reinterpret_cast<const void*>(context.uc_mcontext.gregs[REG_RSP]);
}

// Has the handler return to `function(argument)` on the stack that ends at `top`.
bool Redirect(ucontext_t* context, void (*function)(void*), void* argument, char* top) {
  constexpr greg_t kDirectionFlag = 0x400;  // clear at the entry of functions
  auto& registers = context->uc_mcontext.gregs;
  registers[REG_RIP] = reinterpret_cast<greg_t>(function);
  registers[REG_RDI] = reinterpret_cast<greg_t>(argument);
  registers[REG_RSP] = reinterpret_cast<greg_t>(top) / 16 * 16 - 8;  // as a call leaves it
  registers[REG_RBP] = 0;
  registers[REG_EFL] &= ~kDirectionFlag;
  return true;
}

// As a function expects them: the interrupted code may have changed the rounding, or be in the middle of MMX.
void ResetFloatingPoint() {
  const unsigned int mxcsr = 0x1f80;
  asm volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
}
#elif defined(__aarch64__)
const void* StackPointerOf(const ucontext_t& context) { return reinterpret_cast<const void*>(context.uc_mcontext.sp); }

bool Redirect(ucontext_t* context, void (*function)(void*), void* argument, char* top) {
  context->uc_mcontext.pc = reinterpret_cast<uintptr_t>(function);
  context->uc_mcontext.regs[0] = reinterpret_cast<uintptr_t>(argument);
  context->uc_mcontext.regs[29] = context->uc_mcontext.regs[30] = 0;
  context->uc_mcontext.sp = reinterpret_cast<uintptr_t>(top) / 16 * 16;
  return true;
}

void ResetFloatingPoint() { asm volatile("msr fpcr, xzr"); }
#else
const void* StackPointerOf(const ucontext_t&) { return nullptr; }
bool Redirect(ucontext_t*, void (*)(void*), void*, char*) { return false; }
void ResetFloatingPoint() {}
#endif

// ---- what is said about it: by the system call, because write(2) may be ours and park ----

void Say(const char* text, int length) {
  if (length > 0 && syscall(SYS_write, STDERR_FILENO, text, static_cast<size_t>(length)) < 0) return;  // nobody there
}

void SayWhatCame(const GreenThread& thread, const char* of_reserve, const char* what) {
  char text[512];
  Say(text, snprintf(text, sizeof(text),
                     "greenring: stack overflow: green thread %lu (%s) used up its %zu KiB of stack%s; %s\n",
                     static_cast<unsigned long>(thread.id()), thread.name(), thread.stack().size_bytes / 1024,
                     of_reserve, what));
}

void SayDeath(const Stack& stack) {
  const GreenThread* thread = GreenThread::Current();
  char text[512];
  Say(text,
      snprintf(text, sizeof(text),
               "greenring: stack overflow: green thread %lu (%s) needed more than its %zu KiB of stack (%zu pages).\n"
               "greenring: raise --stack_size (now %zuKiB; address space is free until it is used), or end the "
               "recursion.\n",
               thread != nullptr ? static_cast<unsigned long>(thread->id()) : 0,
               thread != nullptr ? thread->name() : "unknown", stack.size_bytes / 1024,
               stack.size_bytes / StackSlab::page_size_bytes(), stack.size_bytes / 1024));
}

void SoundAlarm() {
  if (void (*alarm)() = abandon_alarm.load(std::memory_order_relaxed); alarm != nullptr) alarm();
}

// Code that goes deeper writes at its stack pointer, or in the 128 bytes below it that belong to it; a fault further
// below is a wrong pointer.
constexpr size_t kBelowStackPointerMax = 256;

bool IsPush(const void* address, const void* stack_pointer) {
  return reinterpret_cast<uintptr_t>(address) + kBelowStackPointerMax >= reinterpret_cast<uintptr_t>(stack_pointer);
}

}  // namespace

class StackOverflow {
 public:
  // A fault in the reserve or the guard of `stack`: false if the process has to die.
  static bool Handle(const Stack& stack, StackSlab::Guard guard, const void* address, ucontext_t* context) {
    Scheduler* const scheduler = Scheduler::Current();
    GreenThread* const thread = scheduler != nullptr ? RunningOn(*scheduler, stack) : nullptr;
    const void* const stack_pointer = StackPointerOf(*context);
    if (thread == nullptr || !stack.Encloses(stack_pointer) || !IsPush(address, stack_pointer)) return false;
    if (address >= stack.reserve_base()) return EnterReserve(scheduler, thread, guard, address);
    if (thread->is_os_thread_ || thread->abandon_due_) return false;
    if (thread->section_depth_ > 0) {
      thread->abandon_due_ = StackSlab::LendGuard(stack, guard);
      if (!thread->abandon_due_) return false;
    } else if (thread->state_ != GreenThread::State::kRunning || emergency_stack_top == nullptr ||
               !Redirect(context, &StackOverflow::Leave, scheduler, emergency_stack_top)) {
      return false;
    }
    if (!thread->reserve_open_) ++scheduler->stats_.overflows;
    SayWhatCame(*thread, " and the reserve", "it is abandoned");
    SoundAlarm();
    return true;
  }

 private:
  // Whose stack it is: the current green thread's, or of the one that is about to be.
  static GreenThread* RunningOn(const Scheduler& scheduler, const Stack& stack) {
    for (GreenThread* thread : {scheduler.current_, scheduler.leaving_}) {
      if (thread != nullptr && thread->stack_.base == stack.base) return thread;
    }
    return nullptr;
  }

  static bool EnterReserve(Scheduler* scheduler, GreenThread* thread, StackSlab::Guard guard, const void* address) {
    if (!StackSlab::OpenReserve(thread->stack_, guard, address)) return false;
    const bool first = !thread->reserve_open_;
    thread->reserve_open_ = true;
    const bool ends =
        thread == scheduler->current_ && scheduler->hook_ != nullptr && scheduler->hook_->OnReserveEntered(thread);
    if (!first) return true;
    ++scheduler->stats_.overflows;
    SayWhatCame(*thread, "", ends ? "it is made to end its recursion" : "it goes on in the reserve");
    return true;
  }

  // In ordinary context, in place of the current green thread.
  [[noreturn]] static void Leave(void* scheduler) {
    ResetFloatingPoint();
    static_cast<Scheduler*>(scheduler)->AbandonCurrent();
  }
};

// The same for OS threads, which have no reserve.
class OsThreadOverflow {
 public:
  // A fault of the current OS thread: whether it is one of its stack.
  static bool IsOverflow(const void* address, const ucontext_t& context) {
    const OsThreadStack* const stack = os_thread_stack;
    if (stack == nullptr) return false;
    const auto at = reinterpret_cast<uintptr_t>(address);
    const auto pointer = reinterpret_cast<uintptr_t>(StackPointerOf(context));
    return at >= stack->guard_begin_ && at < stack->begin_ && pointer >= stack->guard_begin_ && pointer < stack->end_ &&
           IsPush(address, StackPointerOf(context));
  }

  // False if the process has to die.
  static bool Handle(ucontext_t* context) {
    const OsThreadStack& stack = *os_thread_stack;
    const bool leaves = Redirect(context, &OsThreadOverflow::Leave, os_thread_stack, emergency_stack_top);
    char text[256];
    Say(text,
        snprintf(text, sizeof(text), "greenring: stack overflow: OS thread %ld used up its %zu KiB of stack; %s\n",
                 syscall(SYS_gettid), (stack.end_ - stack.begin_) / 1024,
                 leaves ? "it is abandoned" : "the process ends"));
    if (leaves) SoundAlarm();
    return leaves;
  }

 private:
  // In ordinary context, in place of what the OS thread did.
  [[noreturn]] static void Leave(void* argument) {
    ResetFloatingPoint();
    const OsThreadStack& stack = *static_cast<OsThreadStack*>(argument);
    os_thread_stack = nullptr;
    stack.on_lost_(stack.argument_);
    for (;;) syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0);
  }
};

namespace {

// On this thread; a handler that raises the signal anew, to end the process, means the handler that was there before
// it.
constinit thread_local bool passing_on = false;

void PassOn(int signal_number, siginfo_t* info, void* context) {
  if (passing_on) {
    signal(signal_number, SIG_DFL);
    if (info->si_code <= 0) raise(signal_number);
    return;
  }
  passing_on = true;
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal_number, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal_number);
  } else {
    signal(signal_number, SIG_DFL);
    if (info->si_code <= 0) raise(signal_number);  // sent by somebody: nothing would repeat it
  }
  passing_on = false;
}

void OnFault(int signal_number, siginfo_t* info, void* context) {
  const int error_number = errno;
  Stack stack;
  StackSlab::Guard guard;
  const bool is_fault = info->si_code > 0;
  if (is_fault && OsThreadOverflow::IsOverflow(info->si_addr, *static_cast<ucontext_t*>(context))) {
    if (!OsThreadOverflow::Handle(static_cast<ucontext_t*>(context))) signal(signal_number, SIG_DFL);
  } else if (!is_fault || !StackSlab::FindGuarded(info->si_addr, &stack, &guard)) {
    PassOn(signal_number, info, context);
  } else if (!StackOverflow::Handle(stack, guard, info->si_addr, static_cast<ucontext_t*>(context))) {
    SayDeath(stack);
    signal(signal_number, SIG_DFL);  // returning repeats the fault, which now ends the process with a core
  }
  errno = error_number;
}

}  // namespace

void InstallStackOverflowHandler() {
  struct sigaction current;
  GREENRING_CHECK(sigaction(SIGSEGV, nullptr, &current) == 0);
  if ((current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == &OnFault) return;
  previous_action = current;
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = &OnFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  StackSlab::page_size_bytes();  // computed once, outside the handler
  GREENRING_CHECK(sigaction(SIGSEGV, &action, nullptr) == 0);
}

void SetAbandonAlarm(void (*alarm)()) { abandon_alarm.store(alarm, std::memory_order_relaxed); }

StackOverflowSignalStack::StackOverflowSignalStack()
    : memory_(std::make_unique<char[]>(kSignalStackBytes + kEmergencyStackBytes)) {
  emergency_stack_top = memory_.get() + kSignalStackBytes + kEmergencyStackBytes;
  stack_t current;
  if (sigaltstack(nullptr, &current) == 0 && (current.ss_flags & SS_DISABLE) == 0) return;  // somebody's is there
  stack_t ours = {};
  ours.ss_sp = memory_.get();
  ours.ss_size = kSignalStackBytes;
  signal_stack_installed_ = sigaltstack(&ours, nullptr) == 0;
}

StackOverflowSignalStack::~StackOverflowSignalStack() {
  emergency_stack_top = nullptr;
  if (!signal_stack_installed_) return;
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
}

OsThreadStack::OsThreadStack(void (*on_lost)(void*), void* argument) : on_lost_(on_lost), argument_(argument) {
  pthread_attr_t attributes;
  void* begin = nullptr;
  size_t size_bytes = 0;
  size_t guard_bytes = 0;
  GREENRING_CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0 &&
                  pthread_attr_getstack(&attributes, &begin, &size_bytes) == 0 &&
                  pthread_attr_getguardsize(&attributes, &guard_bytes) == 0);
  pthread_attr_destroy(&attributes);
  begin_ = reinterpret_cast<uintptr_t>(begin);
  end_ = begin_ + size_bytes;
  guard_begin_ = begin_ - guard_bytes;
  GREENRING_CHECK(os_thread_stack == nullptr);
  os_thread_stack = this;
}

OsThreadStack::~OsThreadStack() { os_thread_stack = nullptr; }

}  // namespace greenring::green
