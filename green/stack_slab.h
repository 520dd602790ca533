// Stacks for green threads: mapped many at a time, committed page by page as they are used.
//
//   StackSlab slab(256 * 1024);
//   absl::StatusOr<Stack> stack = slab.Allocate();
//   ... run on it ...
//   slab.Trim(*stack);                // gives deep pages back to the kernel
//   slab.Free(*stack);
//
// A slab maps chunks of kStacksPerChunk stacks:
//
//     chunk (one mmap, PROT_READ|PROT_WRITE, MAP_NORESERVE, no huge pages)
//     +-------+----------------+-------+----------------+-- ... --+
//     | guard | stack 0   <--- | guard | stack 1   <--- |         |
//     +-------+----------------+-------+----------------+-- ... --+
//     low     ^base       top^                               high
//
// A stack grows down towards its guard page. Guards are MADV_GUARD_INSTALL (Linux 6.13), which leaves the chunk one
// mapping; on older kernels mprotect, which costs two mappings a stack (vm.max_map_count, 65530 by default, then limits
// a process to about 32,000 stacks). A touch of a guard is reported by stack_overflow.h.
//
// Address space is all that an unused stack costs. One OS thread only, except FindStackByGuardAddress. Never parks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace greenring::green {

// C recursion below Python needs it (nested sorted(key=...) takes 2.5 KiB a level); untouched pages are free.
inline constexpr size_t kDefaultStackSizeBytes = 256 * 1024;
// The control block, a signal frame with AVX-512 state (about 3 KiB) and a few calls.
inline constexpr size_t kStackSizeBytesMin = 16 * 1024;
// Beyond any use; keeps products of stack size and count inside the address space.
inline constexpr size_t kStackSizeBytesMax = size_t{1} << 30;

// One stack: the usable bytes are [base, base + size_bytes); the guard page lies below base.
struct Stack {
  std::byte* base = nullptr;
  size_t size_bytes = 0;

  std::byte* top() const { return base + size_bytes; }
};

class StackSlab {
 public:
  enum class Guard : uint8_t { kMadvise, kMprotect };

  // `stack_size_bytes` is rounded up to whole pages and must lie within the bounds above (checked: flags are validated
  // before). `guard_forced` is for tests; by default the kernel is asked once.
  explicit StackSlab(size_t stack_size_bytes);
  StackSlab(size_t stack_size_bytes, Guard guard_forced);
  // Every stack must have been freed (checked).
  ~StackSlab();
  StackSlab(const StackSlab&) = delete;
  StackSlab& operator=(const StackSlab&) = delete;

  // RESOURCE_EXHAUSTED with the remedy when the kernel refuses more mappings or address space.
  absl::StatusOr<Stack> Allocate();
  void Free(const Stack& stack);

  // Maps chunks until `count` stacks can be allocated without asking the kernel.
  absl::Status Reserve(size_t count);

  // Gives the pages below the first `keep_bytes` back if they seem to have been used: it looks at the tops of the two
  // pages below that mark (20 ns), and asks the kernel only when it finds something there. Deep use that left both
  // untouched is not noticed.
  void Trim(const Stack& stack, size_t keep_bytes = kTrimKeepBytes) const;

  // The deepest use since the last trim, from the kernel's page accounting (mincore(2)): a multiple of the page size.
  size_t WatermarkBytes(const Stack& stack) const;

  size_t stack_size_bytes() const { return stack_size_bytes_; }
  Guard guard() const { return guard_; }
  size_t live_count() const { return live_count_; }

  // The stack whose guard page contains `address`; false when there is none. For the fault handler:
  // async-signal-safe, thread-safe.
  static bool FindStackByGuardAddress(const void* address, Stack* stack);

  static size_t page_size_bytes();

  static constexpr size_t kStacksPerChunk = 64;
  static constexpr size_t kTrimKeepBytes = 32 * 1024;

 private:
  absl::Status MapChunk();

  const size_t stack_size_bytes_;
  const Guard guard_;
  std::vector<std::byte*> chunks_;
  std::vector<Stack> free_;  // LIFO: the warmest first
  size_t live_count_ = 0;
};

}  // namespace greenring::green
