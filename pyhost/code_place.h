// Whose code a thread is in the middle of.
//
//   CodePlace place = Locate(sampler.Take());         // {"/usr/lib/libslow.so", "slow_query"}
//
// Callers are found by looking for return addresses on the stack, not by unwinding: where the innermost code is the C
// library's, the library that called it is very probably, not certainly, the one that is named.
//
// Any OS thread but the one that was sampled: waits for the dynamic linker where that one is in dlopen.
#pragma once

#include <string>

#include "pyhost/native_sample.h"

namespace greenring::pyhost {

struct CodePlace {
  std::string library;   // a path; "python": the interpreter or what is built into it; empty: not known
  std::string function;  // a symbol, else "+0x" and the offset in the library; may be empty
};

// That of the innermost library that is not the C library.
CodePlace Locate(const NativeSample& sample);

// "nanosleep"; "system call 999" for one that is not known here.
std::string SystemCallName(int number);

}  // namespace greenring::pyhost
