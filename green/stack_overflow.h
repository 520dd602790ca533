// The report of a stack overflow: a fault in a guard page names the green thread, its stack size and the remedy on
// stderr before the process dies of the signal as it would have anyway.
//
//   InstallStackOverflowHandler();       // once, early; before libraries that install their own SIGSEGV handler
//   StackOverflowSignalStack stack;      // on each OS thread that runs green threads: the handler needs a stack
//
// Faults elsewhere go to the handler that was there before. A frame larger than the guard page (4 KiB) may jump over
// it: compile such code with -fstack-clash-protection (Debian's packages are).
#pragma once

#include <memory>

namespace greenring::green {

// Idempotent. Thread-safe. Never parks.
void InstallStackOverflowHandler();

// The alternate signal stack of the OS thread that makes it, until it is destroyed there.
class StackOverflowSignalStack {
 public:
  StackOverflowSignalStack();
  ~StackOverflowSignalStack();
  StackOverflowSignalStack(const StackOverflowSignalStack&) = delete;
  StackOverflowSignalStack& operator=(const StackOverflowSignalStack&) = delete;

 private:
  std::unique_ptr<char[]> memory_;
  bool installed_ = false;
};

}  // namespace greenring::green
