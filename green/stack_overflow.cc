#include "green/stack_overflow.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "green/scheduler.h"

namespace greenring::green {
namespace {

// Room for the frame with AVX-512 and AMX state (11 KiB) and snprintf.
constexpr size_t kSignalStackBytes = 64 * 1024;

struct sigaction previous_action;

void Report(const Stack& stack) {
  const Scheduler* scheduler = Scheduler::Current();
  const GreenThread* thread = scheduler != nullptr ? scheduler->current() : nullptr;
  char text[512];
  const int length = snprintf(
      text, sizeof(text),
      "greenring: stack overflow: green thread %lu (%s) needed more than its %zu KiB of stack (%zu pages).\n"
      "greenring: raise --stack_size (now %zuKiB; address space is free until it is used), or end the recursion.\n",
      thread != nullptr ? static_cast<unsigned long>(thread->id()) : 0, thread != nullptr ? thread->name() : "unknown",
      stack.size_bytes / 1024, stack.size_bytes / StackSlab::page_size_bytes(), stack.size_bytes / 1024);
  if (length > 0 && write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) return;  // nobody left to tell
}

void OnFault(int signal_number, siginfo_t* info, void* context) {
  Stack stack;
  if (StackSlab::FindStackByGuardAddress(info->si_addr, &stack)) {
    Report(stack);
    signal(signal_number, SIG_DFL);  // returning repeats the fault, which now ends the process with a core
    return;
  }
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal_number, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal_number);
  } else {
    signal(signal_number, SIG_DFL);
    if (info->si_code <= 0) raise(signal_number);  // sent by somebody: nothing would repeat it
  }
}

}  // namespace

void InstallStackOverflowHandler() {
  static const bool installed = [] {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = &OnFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    StackSlab::page_size_bytes();  // computed once, outside the handler
    return sigaction(SIGSEGV, &action, &previous_action) == 0;
  }();
  static_cast<void>(installed);
}

StackOverflowSignalStack::StackOverflowSignalStack() {
  stack_t current;
  if (sigaltstack(nullptr, &current) == 0 && (current.ss_flags & SS_DISABLE) == 0) return;  // somebody's is there
  memory_ = std::make_unique<char[]>(kSignalStackBytes);
  stack_t ours = {};
  ours.ss_sp = memory_.get();
  ours.ss_size = kSignalStackBytes;
  installed_ = sigaltstack(&ours, nullptr) == 0;
}

StackOverflowSignalStack::~StackOverflowSignalStack() {
  if (!installed_) return;
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
}

}  // namespace greenring::green
