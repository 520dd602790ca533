// Output memory of the streams: fixed blocks, pooled, last in first out, so that the block handed out next is the one
// most recently in the cache.
//
//   OutputBlock* block = pool.Take();
//   std::memcpy(block->writable(), data, size);
//   block->end += size;
//   pool.Give(block);
//
// A block belongs to whoever took it. Loop's thread only. Never parks.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace greenring::ioloop {

// 16 KiB: the size of a TLS record and of what applications usually write at once; a socket takes four to twelve of
// them before it is full.
inline constexpr size_t kOutputBlockBytes = 16 * 1024;

// Blocks that leave in one sendmsg: 256 KiB, more than a socket's default send buffer holds; and one more entry for
// data sent without a copy.
inline constexpr size_t kOutputBlocksPerSendMax = 16;

struct OutputBlock {
  char* readable() { return data + begin; }
  char* writable() { return data + end; }
  size_t readable_bytes() const { return end - begin; }
  size_t writable_bytes() const { return kOutputBlockBytes - end; }

  OutputBlock* next = nullptr;
  uint32_t begin = 0;
  uint32_t end = 0;
  char data[kOutputBlockBytes];

  // The message of a send that starts with this block and takes more than it; the kernel reads it at submission.
  // Behind the data, so that a short answer touches one place of memory.
  msghdr message;
  iovec vectors[kOutputBlocksPerSendMax + 1];
};

class OutputBlockPool {
 public:
  OutputBlockPool() = default;
  OutputBlockPool(const OutputBlockPool&) = delete;
  OutputBlockPool& operator=(const OutputBlockPool&) = delete;
  ~OutputBlockPool();  // checked: every block has been given back

  // An empty block.
  OutputBlock* Take() {
    if (free_ == nullptr) return Allocate();
    OutputBlock* block = free_;
    free_ = block->next;
    --free_count_;
    ++taken_count_;
    block->next = nullptr;
    block->begin = block->end = 0;
    return block;
  }

  void Give(OutputBlock* block) {
    --taken_count_;
    if (free_count_ == kFreeBlocksMax) return Deallocate(block);
    block->next = free_;
    free_ = block;
    ++free_count_;
  }

  size_t taken_count() const { return taken_count_; }
  size_t free_count() const { return free_count_; }

  // Blocks kept for the next turns, 4 MiB: more than the answers of one turn need. What slow clients made necessary
  // beyond that goes back to the system when they are done.
  static constexpr size_t kFreeBlocksMax = 256;

 private:
  OutputBlock* Allocate();
  static void Deallocate(OutputBlock* block);

  OutputBlock* free_ = nullptr;
  size_t free_count_ = 0;
  size_t taken_count_ = 0;
};

}  // namespace greenring::ioloop
