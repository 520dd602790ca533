#include "green/stack_slab.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13
#endif
#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif

namespace greenring::green {
namespace {

// All chunks of the process, for the fault handler: written under a mutex, read without one. A slot is published by
// its `begin` last and withdrawn by it first.
struct ChunkRange {
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> size_bytes{0};
  std::atomic<size_t> stride_bytes{0};
  std::atomic<StackSlab::Guard> guard{StackSlab::Guard::kMadvise};
};

// One million stacks; beyond that overflows still fault, but unnamed.
constexpr size_t kChunkRangesMax = 16 * 1024;

std::array<ChunkRange, kChunkRangesMax> chunk_ranges;
std::atomic<size_t> chunk_ranges_used{0};                          // slots at and above were never used
ABSL_CONST_INIT absl::Mutex chunk_ranges_mutex(absl::kConstInit);  // not pthread's, which may park

void PublishChunk(const std::byte* begin, size_t size_bytes, size_t stride_bytes, StackSlab::Guard guard) {
  absl::MutexLock lock(&chunk_ranges_mutex);
  const size_t used = chunk_ranges_used.load(std::memory_order_relaxed);
  size_t slot = 0;
  while (slot < used && chunk_ranges[slot].begin.load(std::memory_order_relaxed) != 0) ++slot;
  if (slot == kChunkRangesMax) return;
  chunk_ranges[slot].size_bytes.store(size_bytes, std::memory_order_relaxed);
  chunk_ranges[slot].stride_bytes.store(stride_bytes, std::memory_order_relaxed);
  chunk_ranges[slot].guard.store(guard, std::memory_order_relaxed);
  chunk_ranges[slot].begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_release);
  if (slot == used) chunk_ranges_used.store(used + 1, std::memory_order_release);
}

void WithdrawChunk(const std::byte* begin) {
  absl::MutexLock lock(&chunk_ranges_mutex);
  for (size_t i = 0; i < chunk_ranges_used.load(std::memory_order_relaxed); ++i) {
    if (chunk_ranges[i].begin.load(std::memory_order_relaxed) == reinterpret_cast<uintptr_t>(begin)) {
      chunk_ranges[i].begin.store(0, std::memory_order_release);
      return;
    }
  }
}

size_t RoundUpToPages(size_t bytes) {
  const size_t page = StackSlab::page_size_bytes();
  return (bytes + page - 1) / page * page;
}

StackSlab::Guard ProbeGuard() {
  static const StackSlab::Guard guard = [] {
    const size_t page = StackSlab::page_size_bytes();
    void* probe = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) return StackSlab::Guard::kMprotect;
    const bool works = madvise(probe, page, MADV_GUARD_INSTALL) == 0;
    munmap(probe, page);
    return works ? StackSlab::Guard::kMadvise : StackSlab::Guard::kMprotect;
  }();
  return guard;
}

// Makes `[begin, begin + size_bytes)` fault, and not fault. False with errno. What is opened reads as zeros unless it
// was open before.
bool Close(std::byte* begin, size_t size_bytes, StackSlab::Guard guard) {
  return guard == StackSlab::Guard::kMadvise ? madvise(begin, size_bytes, MADV_GUARD_INSTALL) == 0
                                             : mprotect(begin, size_bytes, PROT_NONE) == 0;
}

bool Open(std::byte* begin, size_t size_bytes, StackSlab::Guard guard) {
  return guard == StackSlab::Guard::kMadvise ? madvise(begin, size_bytes, MADV_GUARD_REMOVE) == 0
                                             : mprotect(begin, size_bytes, PROT_READ | PROT_WRITE) == 0;
}

// Reads memory that frames may have left poisoned.
__attribute__((no_sanitize("address", "thread"))) bool IsZero(const std::byte* page, size_t size_bytes) {
  const volatile uint64_t* words = reinterpret_cast<const uint64_t*>(page);
  for (size_t i = 0; i < size_bytes / sizeof(uint64_t); ++i) {
    if (words[i] != 0) return false;
  }
  return true;
}

// How much of the memory that ends at `top` has been written to, from its lowest page on that holds anything: pages
// that were only looked at are resident too, but hold nothing.
size_t UsedBytes(std::byte* begin, std::byte* top) {
  const size_t page = StackSlab::page_size_bytes();
  std::vector<unsigned char> resident(static_cast<size_t>(top - begin) / page);
  if (mincore(begin, static_cast<size_t>(top - begin), resident.data()) != 0) return 0;
  for (size_t i = 0; i < resident.size(); ++i) {
    if ((resident[i] & 1) != 0 && !IsZero(begin + i * page, page)) return static_cast<size_t>(top - begin) - i * page;
  }
  return 0;
}

}  // namespace

size_t RecommendedStackBytes(size_t deepest_bytes, size_t overflowed_bytes) {
  const size_t wanted = std::max(deepest_bytes + deepest_bytes / 2, 2 * overflowed_bytes);
  for (size_t power = 64 * 1024;; power *= 2) {
    if (power >= wanted) return power;
    if (power + power / 2 >= wanted) return power + power / 2;
  }
}

size_t StackSlab::page_size_bytes() {
  static const size_t page_size_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return page_size_bytes;
}

StackSlab::StackSlab(size_t stack_size_bytes) : StackSlab(stack_size_bytes, ProbeGuard()) {}

StackSlab::StackSlab(size_t stack_size_bytes, Guard guard_forced)
    : stack_size_bytes_(RoundUpToPages(stack_size_bytes)), guard_(guard_forced) {
  GREENRING_CHECK(stack_size_bytes_ >= kStackSizeBytesMin && stack_size_bytes_ <= kStackSizeBytesMax);
}

StackSlab::~StackSlab() {
  GREENRING_CHECK(live_count_ == 0);
  if (abandoned_any_) return;  // who abandoned them cannot say what still points there
  const size_t chunk_bytes = stride_bytes() * kStacksPerChunk;
  for (std::byte* chunk : chunks_) {
    WithdrawChunk(chunk);
    munmap(chunk, chunk_bytes);
  }
}

absl::Status StackSlab::MapChunk() {
  const size_t chunk_bytes = stride_bytes() * kStacksPerChunk;
  void* memory = mmap(nullptr, chunk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot map ", chunk_bytes >> 20, " MiB for ", kStacksPerChunk, " stacks: ", strerror(errno),
        "; lower the stack size or the number of cores, or raise the limits (ulimit -v, vm.max_map_count)"));
  }
  // A huge page would commit many stacks at once; the advice is refused where there are none, which is as good.
  madvise(memory, chunk_bytes, MADV_NOHUGEPAGE);
  std::byte* chunk = static_cast<std::byte*>(memory);
  for (size_t i = 0; i < kStacksPerChunk; ++i) {
    if (!Close(chunk + i * stride_bytes(), kGuardBytes + kReserveBytes, guard_)) {
      const int error_number = errno;
      munmap(memory, chunk_bytes);
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot protect the guard of a stack: ", strerror(error_number),
                       "; raise vm.max_map_count (two mappings a stack are needed before Linux 6.13)"));
    }
  }
  chunks_.push_back(chunk);
  PublishChunk(chunk, chunk_bytes, stride_bytes(), guard_);
  for (size_t i = kStacksPerChunk; i-- > 0;) free_.push_back(StackAt(chunk, i));
  return absl::OkStatus();
}

Stack StackSlab::StackAt(std::byte* chunk, size_t index) const {
  return {chunk + index * stride_bytes() + kGuardBytes + kReserveBytes, stack_size_bytes_};
}

absl::StatusOr<Stack> StackSlab::Allocate() {
  if (free_.empty()) {
    absl::Status mapped = MapChunk();
    if (!mapped.ok()) return mapped;
  }
  const Stack stack = free_.back();
  free_.pop_back();
  ++live_count_;
  return stack;
}

void StackSlab::Free(const Stack& stack) {
  GREENRING_DCHECK(live_count_ > 0);
  --live_count_;
  free_.push_back(stack);
}

void StackSlab::Discard(const Stack& stack) {
  deepest_bytes_ = std::max(deepest_bytes_, WatermarkBytes(stack));
  madvise(stack.base, stack.size_bytes, MADV_DONTNEED);
  Free(stack);
  ++discarded_count_;
}

void StackSlab::ReleaseDiscarded() {
  if (discarded_count_ < kStacksPerChunk && live_count_ > 0) return;
  discarded_count_ = 0;
  const size_t chunk_bytes = stride_bytes() * kStacksPerChunk;
  // Of chunks the stacks of one lie next to each other in the order of addresses.
  std::sort(free_.begin(), free_.end(), [](const Stack& a, const Stack& b) { return a.base < b.base; });
  std::sort(chunks_.begin(), chunks_.end());
  std::vector<Stack> kept_stacks;
  std::vector<std::byte*> kept_chunks;
  auto stack = free_.begin();
  for (std::byte* chunk : chunks_) {
    const auto first = stack;
    while (stack != free_.end() && stack->base < chunk + chunk_bytes) ++stack;
    if (static_cast<size_t>(stack - first) == kStacksPerChunk) {
      WithdrawChunk(chunk);
      munmap(chunk, chunk_bytes);
    } else {
      kept_chunks.push_back(chunk);
      kept_stacks.insert(kept_stacks.end(), first, stack);
    }
  }
  free_ = std::move(kept_stacks);
  chunks_ = std::move(kept_chunks);
}

void StackSlab::Abandon(const Stack& stack) {
  GREENRING_DCHECK(live_count_ > 0);
  --live_count_;
  abandoned_any_ = true;
  ++overflows_;
  deepest_bytes_ = std::max(deepest_bytes_, stack.size_bytes + kReserveBytes);
}

absl::Status StackSlab::Reserve(size_t count) {
  while (free_.size() < count) {
    absl::Status mapped = MapChunk();
    if (!mapped.ok()) return mapped;
  }
  return absl::OkStatus();
}

// Reads memory that other frames may have left poisoned; only whether it is zero matters.
__attribute__((no_sanitize("address", "thread"))) void StackSlab::Trim(const Stack& stack, size_t keep_bytes) {
  constexpr size_t kPagesProbed = 2;
  constexpr size_t kWordsProbed = 32;  // from the top of each page: where frames enter it
  const size_t page = page_size_bytes();
  const size_t kept = RoundUpToPages(keep_bytes);
  if (stack.size_bytes < kept + kPagesProbed * page) return;
  for (size_t i = 0; i < kPagesProbed; ++i) {
    // An untouched page reads as zeros from the shared zero page, which costs no memory.
    const volatile uint64_t* word = reinterpret_cast<const uint64_t*>(stack.top() - kept - i * page) - kWordsProbed;
    uint64_t found = 0;
    for (size_t j = 0; j < kWordsProbed; ++j) found |= word[j];
    if (found == 0) continue;
    deepest_bytes_ = std::max(deepest_bytes_, WatermarkBytes(stack));
    madvise(stack.base, stack.size_bytes - kept, MADV_DONTNEED);
    return;
  }
}

size_t StackSlab::WatermarkBytes(const Stack& stack) { return UsedBytes(stack.base, stack.top()); }

void StackSlab::CloseReserve(const Stack& stack) {
  ++overflows_;
  // Pages that are still guarded are not resident.
  deepest_bytes_ = std::max(deepest_bytes_, UsedBytes(stack.reserve_base(), stack.top()));
  madvise(stack.reserve_base(), kReserveBytes, MADV_DONTNEED);
  GREENRING_CHECK(Close(stack.reserve_base(), kReserveBytes, guard_));
}

StackReport StackSlab::Report(const StackReport& before) const {
  StackReport report{.size_bytes = stack_size_bytes_,
                     .deepest_bytes = std::max(before.deepest_bytes, deepest_bytes_),
                     .overflows = before.overflows + overflows_,
                     .overflowed_bytes = std::max(before.overflowed_bytes, overflows_ > 0 ? stack_size_bytes_ : 0)};
  for (std::byte* chunk : chunks_) {
    for (size_t i = 0; i < kStacksPerChunk; ++i) {
      report.deepest_bytes = std::max(report.deepest_bytes, WatermarkBytes(StackAt(chunk, i)));
    }
  }
  report.recommended_bytes = RecommendedStackBytes(report.deepest_bytes, report.overflowed_bytes);
  return report;
}

bool StackSlab::IsMapped(const void* address) {
  const uintptr_t target = reinterpret_cast<uintptr_t>(address);
  const size_t used = chunk_ranges_used.load(std::memory_order_acquire);
  for (size_t i = 0; i < used; ++i) {
    const uintptr_t begin = chunk_ranges[i].begin.load(std::memory_order_acquire);
    const size_t size_bytes = chunk_ranges[i].size_bytes.load(std::memory_order_relaxed);
    if (begin != 0 && target >= begin && target < begin + size_bytes) return true;
  }
  return false;
}

bool StackSlab::FindGuarded(const void* address, Stack* stack, Guard* guard) {
  const uintptr_t target = reinterpret_cast<uintptr_t>(address);
  const size_t used = chunk_ranges_used.load(std::memory_order_acquire);
  for (size_t i = 0; i < used; ++i) {
    const uintptr_t begin = chunk_ranges[i].begin.load(std::memory_order_acquire);
    const size_t size_bytes = chunk_ranges[i].size_bytes.load(std::memory_order_relaxed);
    if (begin == 0 || target < begin || target >= begin + size_bytes) continue;
    const size_t stride_bytes = chunk_ranges[i].stride_bytes.load(std::memory_order_relaxed);
    const size_t index = (target - begin) / stride_bytes;
    constexpr size_t kGuarded = kGuardBytes + kReserveBytes;
    if ((target - begin) % stride_bytes >= kGuarded) return false;  // in a stack
    stack->base = reinterpret_cast<std::byte*>(begin + index * stride_bytes + kGuarded);
    stack->size_bytes = stride_bytes - kGuarded;
    *guard = chunk_ranges[i].guard.load(std::memory_order_relaxed);
    return true;
  }
  return false;
}

bool StackSlab::OpenReserve(const Stack& stack, Guard guard, const void* address) {
  const size_t depth = static_cast<size_t>(stack.base - static_cast<const std::byte*>(address));
  const size_t open_bytes = (depth + kReserveStageBytes - 1) / kReserveStageBytes * kReserveStageBytes;
  return Open(stack.base - open_bytes, open_bytes, guard);
}

bool StackSlab::LendGuard(const Stack& stack, Guard guard) {
  return Open(stack.reserve_base() - kGuardLentBytes, kGuardLentBytes, guard);
}

}  // namespace greenring::green
