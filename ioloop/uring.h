// The kernel's io_uring as a Ring.
//
//   absl::StatusOr<std::unique_ptr<Uring>> ring = Uring::Create({});    // on the loop's own thread
//   if (!ring.ok()) Die(ring.status());                                 // its message says what to change
//   Log((*ring)->Describe());
//
// Needs Linux 5.13. What a newer kernel has is probed at Create and used; what is missing falls back, rung by rung:
//
//   feature           since   without it
//   kDeferTaskrun     6.1     completions are posted at any return from the kernel, not only in SubmitAndWait
//   kSingleIssuer     6.0     the kernel locks the ring
//   kMultishotRecv    6.0     every receive is armed anew
//   kInferredSend     6.0     every send posts a completion
//   kCoopTaskrun      5.19    a completion interrupts the thread
//   kMultishotAccept  5.19    every accept is armed anew
//   kBufferRing       5.19    a provided buffer is returned by an operation instead of a store
//   kSubmitAll        5.18    a submission stops at its first invalid operation; the rest go with the next
//   kRegisteredRing   5.18    each system call looks the ring's descriptor up
//   kSkipSuccess      5.17    Close and Cancel post completions, which are dropped
//   kAbsoluteTimeout  6.12    each wait reads the clock
//   kGather           6.12    SubmitAndGather is content with one completion
//   kNoIowait         6.15    time asleep in the ring is shown as "iowait" by the system's statistics
//
// Describe says which are in use. SINGLE_ISSUER binds the ring to the OS thread that called
// Create. After fork the child shares the ring's memory with its parent: all it may do is AbandonAfterFork, destroy its
// copy of the object (which closes and unmaps, and leaves the parent's ring alone) or exec.
#pragma once

#include <liburing.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "ioloop/ring.h"

namespace greenring::ioloop {

struct UringOptions {
  enum Feature : uint32_t {
    kDeferTaskrun = 1u << 0,
    kSingleIssuer = 1u << 1,
    kMultishotRecv = 1u << 2,
    kInferredSend = 1u << 3,
    kCoopTaskrun = 1u << 4,
    kMultishotAccept = 1u << 5,
    kBufferRing = 1u << 6,
    kSubmitAll = 1u << 7,
    kRegisteredRing = 1u << 8,
    kSkipSuccess = 1u << 9,
    kAbsoluteTimeout = 1u << 10,
    kGather = 1u << 11,
    kNoIowait = 1u << 12,
    kAllFeatures = (1u << 13) - 1,
  };

  // Operations queued between two system calls; more of them cost an extra call. 256 are 16 KiB, which stay cached.
  unsigned submissions_max = 256;
  // Completions the kernel can post between two Reaps before it has to allocate.
  unsigned completions_max = 4096;
  // One HTTP request's head fits nearly always. Buffers beyond the first are given to the kernel when it asks for more
  // than there are, doubling: few are cached better than many. Powers of two.
  size_t buffer_size_bytes = 4096;
  unsigned buffers_initial = 64;
  unsigned buffers_max = 512;
  // Operations that the kernel can only do by blocking a thread of its own (an open, a read of a disk) are done by so
  // many such threads at most; the kernel's default, four for each processor, is soon used up by operations that stall.
  unsigned kernel_threads_max = 512;
  // Features not to use even if the kernel has them: for tests, and to rule one out when hunting a kernel's bug.
  uint32_t features_masked = 0;
};

class Uring final : public Ring {
 public:
  // FAILED_PRECONDITION: the kernel is too old, or forbids io_uring (sysctl, seccomp, LSM); RESOURCE_EXHAUSTED: memory
  // or descriptors. The message names the remedy.
  static absl::StatusOr<std::unique_ptr<Uring>> Create(const UringOptions& options);

  // Operations that are still in flight are cancelled by the kernel, unseen.
  ~Uring() override;

  void AcceptMultishot(int fd, Completion* completion) override;
  void Accept(int fd, sockaddr* address, socklen_t* size, int flags, Completion* completion) override;
  void RecvMultishot(int fd, Completion* completion) override;
  void RecvProvided(int fd, Completion* completion) override;
  void Recv(int fd, void* data, size_t size, int flags, Completion* completion) override;
  void RecvMsg(int fd, msghdr* message, int flags, Completion* completion) override;
  void Send(int fd, const void* data, size_t size, int flags, Completion* completion) override;
  void SendMsg(int fd, const msghdr* message, int flags, Completion* completion) override;
  void SendAtOnce(int fd, const void* data, size_t size, Completion* completion) override;
  void Read(int fd, void* data, size_t size, int64_t offset, Completion* completion) override;
  void Write(int fd, const void* data, size_t size, int64_t offset, Completion* completion) override;
  void ReadV(int fd, const iovec* parts, int count, int64_t offset, int flags, Completion* completion) override;
  void WriteV(int fd, const iovec* parts, int count, int64_t offset, int flags, Completion* completion) override;
  void Fsync(int fd, bool data_only, Completion* completion) override;
  void OpenAt(int directory, const char* path, int flags, mode_t mode, Completion* completion) override;
  void Splice(int fd_in, int64_t offset_in, int fd_out, int64_t offset_out, size_t size, unsigned flags,
              Completion* completion) override;
  void PollAdd(int fd, uint32_t events, Completion* completion) override;
  void Connect(int fd, const sockaddr* address, socklen_t size, Completion* completion) override;
  void Shutdown(int fd, int how, Completion* completion) override;
  void Close(int fd) override;
  void Cancel(Completion* completion) override;

  char* BufferOf(uint32_t flags) override;
  void ReturnBuffer(uint32_t flags) override;
  size_t buffer_size_bytes() const override { return options_.buffer_size_bytes; }

  void SubmitAndWait(unsigned wait_count, int64_t deadline_ns) override { Turn(wait_count, 0, deadline_ns); }
  void SubmitAndGather(unsigned wait_count, int64_t patience_ns, int64_t deadline_ns) override;
  size_t Reap() override;
  void Wake() override;
  void AbandonAfterFork() override;
  size_t in_flight() const override { return in_flight_; }
  uint64_t system_calls() const override { return system_calls_; }
  std::string Describe() const override;

  uint32_t features() const { return features_; }

 private:
  struct Reaped {
    Completion* completion;
    int32_t result;
    uint32_t flags;
  };
  // A send whose success is not reported. Its user_data is its index in the list, tagged.
  struct InferredSend {
    Completion* completion;  // nullptr once the kernel has reported it after all
    int32_t size;
  };
  static constexpr uint16_t kBufferGroup = 0;  // of the provided buffers

  enum class Sleep : uint8_t {
    kAwake,
    kAsleep,  // in the kernel, or about to be: a Wake has to write to the eventfd
    kWoken,   // the next SubmitAndWait does not wait
  };

  explicit Uring(const UringOptions& options) : options_(options) {}

  absl::Status SetUp();
  absl::Status SetUpRing();
  absl::Status SetUpBuffers();
  absl::Status SetUpWake();
  void SetUpKernelThreads();
  void ProbeOperations();
  bool Has(UringOptions::Feature feature) const { return (features_ & feature) != 0; }

  io_uring_sqe* NextSqe();
  void Queue(io_uring_sqe* sqe, Completion* completion);
  void QueueUnreported(io_uring_sqe* sqe);
  void ArmWake();
  char* buffer(unsigned index) { return mapping_ + index * buffer_stride_bytes_; }
  void ProvideBuffer(unsigned index);
  void GrowBuffers();

  unsigned queued() const;
  unsigned ready() const;
  uint32_t kernel_flags() const;
  void Turn(unsigned wait_count, int64_t patience_ns, int64_t deadline_ns);
  void Enter(unsigned wait_count, int64_t patience_ns, int64_t deadline_ns);
  void Collect(size_t limit);
  void CollectSpecial(uint64_t user_data, int32_t result, uint32_t flags);
  void ConfirmInferred();

  const UringOptions options_;
  io_uring ring_{};
  bool ring_ready_ = false;
  bool abandoned_ = false;  // in a forked child
  uint32_t features_ = 0;
  size_t in_flight_ = 0;
  uint64_t system_calls_ = 0;

  // One mapping: the provided buffers, and behind them the buffer ring.
  char* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  size_t buffer_stride_bytes_ = 0;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  unsigned buffers_provided_ = 0;

  std::vector<Reaped> reaped_;  // copied out of the kernel's queue and not yet run
  std::vector<InferredSend> inferred_;
  bool inferred_overdue_ = false;        // submitted, and no Reap has confirmed them yet: the next wait is none
  std::vector<InferredSend> confirmed_;  // scratch of ConfirmInferred, kept for its memory

  UniqueFd wake_fd_;
  std::atomic<Sleep> sleep_{Sleep::kAwake};
  static_assert(std::atomic<Sleep>::is_always_lock_free, "Wake is called by signal handlers");
};

}  // namespace greenring::ioloop
