// Stacks for green threads: mapped many at a time, committed page by page as they are used.
//
//   StackSlab slab(256 * 1024);
//   absl::StatusOr<Stack> stack = slab.Allocate();
//   ... run on it ...
//   slab.Trim(*stack);                // gives deep pages back to the kernel
//   slab.Free(*stack);
//
// A slab maps chunks of kStacksPerChunk slots:
//
//     chunk (one mmap, PROT_READ|PROT_WRITE, MAP_NORESERVE, no huge pages)
//     +-------+---------+----------------+-------+---------+----------------+-- ... --+
//     | guard | reserve | stack 0   <--- | guard | reserve | stack 1   <--- |         |
//     +-------+---------+----------------+-------+---------+----------------+-- ... --+
//     low               ^base         top^                                         high
//
// A stack grows down towards its reserve. Guard and reserve fault when they are touched; the reserve can be opened, in
// stages, for a green thread that has to end its recursion (stack_overflow.h), and is closed again when it has. Both
// are MADV_GUARD_INSTALL (Linux 6.13), which leaves the chunk one mapping; on older kernels mprotect, which costs two
// mappings a stack (vm.max_map_count, 65530 by default, then limits a process to about 32,000 stacks).
//
// Address space is all that an unused stack costs. One OS thread only, except FindGuarded. Never parks.
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

// Below every stack: what a green thread that overflows gets to end its recursion in. Each stage has room for an
// exception, its traceback and a few destructors; the second and third are for those who overflow again before the
// reserve could be closed.
inline constexpr size_t kReserveStageBytes = 32 * 1024;
inline constexpr size_t kReserveBytes = 3 * kReserveStageBytes;
// Below the reserve, never opened but for kGuardLentBytes. Larger than most frames that are not probed page by page.
inline constexpr size_t kGuardBytes = 16 * 1024;
// The part next to the reserve that the scheduler is lent to finish what it was in the middle of: a few calls, and a
// signal frame.
inline constexpr size_t kGuardLentBytes = 12 * 1024;

// One stack: the usable bytes are [base, base + size_bytes); reserve and guard lie below base.
struct Stack {
  std::byte* base = nullptr;
  size_t size_bytes = 0;

  std::byte* top() const { return base + size_bytes; }
  std::byte* reserve_base() const { return base - kReserveBytes; }
  // Whether `address` is in it, in its reserve or in its guard.
  bool Encloses(const void* address) const { return address >= reserve_base() - kGuardBytes && address < top(); }
};

// What stacks have been used for so far, and what size would fit (see StackSlab::Report).
struct StackReport {
  size_t size_bytes = 0;
  size_t deepest_bytes = 0;  // more than the size: that much of a reserve was needed
  uint64_t overflows = 0;
  size_t overflowed_bytes = 0;  // the size of the largest stacks that did
  size_t recommended_bytes = 0;
};

// The size for stacks whose deepest use was `deepest_bytes`: half as much again, at least 64 KiB, and a power of two or
// one and a half of one. After an overflow, whose depth nobody knows, at least twice the size it happened with
// (`overflowed_bytes`, else 0).
size_t RecommendedStackBytes(size_t deepest_bytes, size_t overflowed_bytes);

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

  // Instead of Free, for one that will hardly be used again: its memory is given back at once.
  void Discard(const Stack& stack);

  // Unmaps the chunks of which no stack is allocated any more; now and then, so that it costs little for each discarded
  // one, and certainly when none is allocated at all.
  void ReleaseDiscarded();

  // Instead of Free, for one that is never to be used again, and may be referred to for ever: it stays mapped, also
  // after the slab's end.
  void Abandon(const Stack& stack);

  // Maps chunks until `count` stacks can be allocated without asking the kernel.
  absl::Status Reserve(size_t count);

  // Gives the pages below the first `keep_bytes` back if they seem to have been used: it looks at the tops of the two
  // pages below that mark (20 ns), and asks the kernel only when it finds something there. Deep use that left both
  // untouched is not noticed. What it gives back is in the report's deepest use.
  void Trim(const Stack& stack, size_t keep_bytes = kTrimKeepBytes);

  // The deepest use since the last trim, from the kernel's page accounting (mincore(2)): a multiple of the page size.
  static size_t WatermarkBytes(const Stack& stack);

  // Guards the reserve of `stack` again and gives its pages back; nobody uses them any more. How deep the use had gone
  // is in the report.
  void CloseReserve(const Stack& stack);

  // About all stacks since the start, as they are now and as Trim saw them: a system call for each stack. Of several
  // slabs: what was seen by `before` counts too.
  StackReport Report(const StackReport& before = {}) const;

  size_t stack_size_bytes() const { return stack_size_bytes_; }
  Guard guard() const { return guard_; }
  size_t live_count() const { return live_count_; }
  bool abandoned_any() const { return abandoned_any_; }

  // Whether `address` is in a chunk of any slab. Thread-safe.
  static bool IsMapped(const void* address);

  // The stack whose reserve or guard contains `address`; false when there is none. For the fault handler, as are the
  // following: async-signal-safe, thread-safe.
  static bool FindGuarded(const void* address, Stack* stack, Guard* guard);

  // Opens the reserve of a stack that FindGuarded found, down to the end of the stage that contains `address`; what is
  // open already stays as it is. False: the kernel refuses.
  static bool OpenReserve(const Stack& stack, Guard guard, const void* address);

  // Opens kGuardLentBytes more. False: the kernel refuses.
  static bool LendGuard(const Stack& stack, Guard guard);

  static size_t page_size_bytes();

  static constexpr size_t kStacksPerChunk = 64;
  static constexpr size_t kTrimKeepBytes = 32 * 1024;

 private:
  absl::Status MapChunk();
  size_t stride_bytes() const { return kGuardBytes + kReserveBytes + stack_size_bytes_; }
  Stack StackAt(std::byte* chunk, size_t index) const;

  const size_t stack_size_bytes_;
  const Guard guard_;
  std::vector<std::byte*> chunks_;
  std::vector<Stack> free_;  // LIFO: the warmest first
  size_t live_count_ = 0;
  size_t discarded_count_ = 0;  // since chunks were looked through
  bool abandoned_any_ = false;
  size_t deepest_bytes_ = 0;
  uint64_t overflows_ = 0;
};

}  // namespace greenring::green
