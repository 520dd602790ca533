#include "green/stack_slab.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>

#include "absl/base/attributes.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13
#endif

namespace greenring::green {
namespace {

// All chunks of the process, for the fault handler: written under a mutex, read without one. A slot is published by
// its `begin` last and withdrawn by it first.
struct ChunkRange {
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> size_bytes{0};
  std::atomic<size_t> stride_bytes{0};
};

// One million stacks; beyond that overflows still fault, but unnamed.
constexpr size_t kChunkRangesMax = 16 * 1024;

std::array<ChunkRange, kChunkRangesMax> chunk_ranges;
std::atomic<size_t> chunk_ranges_used{0};                          // slots at and above were never used
ABSL_CONST_INIT absl::Mutex chunk_ranges_mutex(absl::kConstInit);  // not pthread's, which may park

void PublishChunk(const std::byte* begin, size_t size_bytes, size_t stride_bytes) {
  absl::MutexLock lock(&chunk_ranges_mutex);
  const size_t used = chunk_ranges_used.load(std::memory_order_relaxed);
  size_t slot = 0;
  while (slot < used && chunk_ranges[slot].begin.load(std::memory_order_relaxed) != 0) ++slot;
  if (slot == kChunkRangesMax) return;
  chunk_ranges[slot].size_bytes.store(size_bytes, std::memory_order_relaxed);
  chunk_ranges[slot].stride_bytes.store(stride_bytes, std::memory_order_relaxed);
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

}  // namespace

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
  const size_t chunk_bytes = (stack_size_bytes_ + page_size_bytes()) * kStacksPerChunk;
  for (std::byte* chunk : chunks_) {
    WithdrawChunk(chunk);
    munmap(chunk, chunk_bytes);
  }
}

absl::Status StackSlab::MapChunk() {
  const size_t page = page_size_bytes();
  const size_t stride_bytes = stack_size_bytes_ + page;
  const size_t chunk_bytes = stride_bytes * kStacksPerChunk;
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
    std::byte* guard_page = chunk + i * stride_bytes;
    const int failed = guard_ == Guard::kMadvise ? madvise(guard_page, page, MADV_GUARD_INSTALL)
                                                 : mprotect(guard_page, page, PROT_NONE);
    if (failed != 0) {
      const int error_number = errno;
      munmap(memory, chunk_bytes);
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot protect the guard page of a stack: ", strerror(error_number),
                       "; raise vm.max_map_count (two mappings a stack are needed before Linux 6.13)"));
    }
  }
  chunks_.push_back(chunk);
  PublishChunk(chunk, chunk_bytes, stride_bytes);
  for (size_t i = kStacksPerChunk; i-- > 0;) free_.push_back({chunk + i * stride_bytes + page, stack_size_bytes_});
  return absl::OkStatus();
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

absl::Status StackSlab::Reserve(size_t count) {
  while (free_.size() < count) {
    absl::Status mapped = MapChunk();
    if (!mapped.ok()) return mapped;
  }
  return absl::OkStatus();
}

// Reads memory that other frames may have left poisoned; only whether it is zero matters.
__attribute__((no_sanitize("address", "thread"))) void StackSlab::Trim(const Stack& stack, size_t keep_bytes) const {
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
    madvise(stack.base, stack.size_bytes - kept, MADV_DONTNEED);
    return;
  }
}

size_t StackSlab::WatermarkBytes(const Stack& stack) const {
  const size_t page = page_size_bytes();
  const size_t pages = stack.size_bytes / page;
  std::vector<unsigned char> resident(pages);
  if (mincore(stack.base, stack.size_bytes, resident.data()) != 0) return 0;
  for (size_t i = 0; i < pages; ++i) {
    if (resident[i] & 1) return stack.size_bytes - i * page;
  }
  return 0;
}

bool StackSlab::FindStackByGuardAddress(const void* address, Stack* stack) {
  const uintptr_t target = reinterpret_cast<uintptr_t>(address);
  const size_t page = page_size_bytes();
  const size_t used = chunk_ranges_used.load(std::memory_order_acquire);
  for (size_t i = 0; i < used; ++i) {
    const uintptr_t begin = chunk_ranges[i].begin.load(std::memory_order_acquire);
    const size_t size_bytes = chunk_ranges[i].size_bytes.load(std::memory_order_relaxed);
    if (begin == 0 || target < begin || target >= begin + size_bytes) continue;
    const size_t stride_bytes = chunk_ranges[i].stride_bytes.load(std::memory_order_relaxed);
    const size_t index = (target - begin) / stride_bytes;
    if ((target - begin) % stride_bytes >= page) return false;  // in a stack, not in a guard
    stack->base = reinterpret_cast<std::byte*>(begin + index * stride_bytes + page);
    stack->size_bytes = stride_bytes - page;
    return true;
  }
  return false;
}

}  // namespace greenring::green
