// What an OS thread is in the middle of below Python: the system call, the instruction and the stack.
//
//   NativeSampler sampler;                            // on the thread in question
//   NativeSample sample = sampler.Take();             // on another one
//   CodePlace place = Locate(sample);                 // whose code it is: code_place.h
//
// A thread that is blocked is looked at from outside, by /proc. One that computes is sent a signal, kSampleSignal,
// whose handler copies the registers and the stack. One that is blocked is sent none, for that could end its system
// call; one that blocks in the very moment may get it all the same.
//
// x86-64.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/unique_fd.h"
#include "pyhost/gil.h"

namespace greenring::pyhost {

struct NativeSample {
  enum class State : uint8_t {
    kUnknown,  // the thread is gone, or was on its way from one to another
    kComputing,
    kInSystemCall,  // and blocked there
    kInPageFault,   // waits for the disk
    kWaitingForGil,
  };

  State state = State::kUnknown;
  int system_call = -1;           // its number where it is in one
  uintptr_t program_counter = 0;  // 0: not known
  uintptr_t stack_pointer = 0;
  std::vector<uintptr_t> stack_words;  // from the stack pointer upwards

  // Nothing has moved in between: for one that is blocked.
  bool IsSameWait(const NativeSample& other) const {
    return state == other.state && system_call == other.system_call && program_counter == other.program_counter &&
           stack_pointer == other.stack_pointer;
  }
};

class NativeSampler {
 public:
  // Of the calling OS thread. One in a process (checked).
  NativeSampler();
  ~NativeSampler();
  NativeSampler(const NativeSampler&) = delete;
  NativeSampler& operator=(const NativeSampler&) = delete;

  // On another OS thread, as the following. Blocks that for up to kSignalPatienceNs.
  NativeSample Take();

  // The state alone, with what IsSameWait compares: sends no signal.
  NativeSample Look() const;

  // How long the thread has computed since its start.
  int64_t CpuTimeNs() const;

  // For a thread that computes in the kernel, or blocks the signal.
  static constexpr int64_t kSignalPatienceNs = 50'000'000;

 private:
  void AskByTheSignal(NativeSample* sample);
  void ReadStack(NativeSample* sample) const;

  const pid_t process_;
  const pid_t thread_;
  const MemoryRange gil_;
  const UniqueFd system_call_file_;
  const UniqueFd memory_file_;
  struct sigaction action_before_ {};
};

}  // namespace greenring::pyhost
