// What blocked the loop, as often as it did: the audit's findings.
//
//   AuditTable table;
//   table.Add({.cause = ..., .library = "/usr/lib/libslow.so", ...}, duration_ns);
//   std::string text = table.Report(threshold_ns);
//
// Findings that agree in all but the outer frames of the Python stack are one. Thread-safe. Never parks for long: the
// lock is held for short pieces of work, of which none needs the GIL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace greenring::pyhost {

struct AuditFinding {
  enum class Cause : uint8_t {
    kSystemCall,     // blocked in one that the server does not answer
    kPageFault,      // the memory that it touched had to be read from the disk
    kComputing,      // C code
    kWaitingForGil,  // another OS thread of the application held it
  };

  Cause cause = Cause::kComputing;
  bool gil_held = false;    // by the green thread meanwhile
  std::string system_call;  // its name, where it is one
  std::string library;      // see code_place.h
  std::string function;
  std::string python_stack;  // the first time; a line a frame, the innermost last

  uint64_t count = 0;
  int64_t total_ns = 0;
  int64_t longest_ns = 0;

  // "system call nanosleep with the GIL".
  std::string Kind() const;

  // The innermost line of the Python stack.
  std::string PythonLine() const;
};

class AuditTable {
 public:
  // Once more, for so long. `finding`'s own count and times do not matter.
  void Add(const AuditFinding& finding, int64_t duration_ns);

  // Those that took most in all come first.
  std::vector<AuditFinding> Findings() const;

  // For people: what blocked for at least `threshold_ns`, or that nothing did. Lines, without a final newline.
  std::string Report(int64_t threshold_ns) const;

  // More are counted, not told apart: an application has a few.
  static constexpr size_t kFindingsMax = 256;

 private:
  mutable std::mutex mutex_;
  std::vector<AuditFinding> findings_;
  uint64_t dropped_ = 0;
};

}  // namespace greenring::pyhost
