#include "ioloop/uring.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/check.h"

namespace greenring::ioloop {
namespace {

// From newer kernels' headers than Debian 12's.
constexpr unsigned kEnterAbsTimer = 1u << 5;  // IORING_ENTER_ABS_TIMER, 6.12
constexpr unsigned kEnterNoIowait = 1u << 7;  // IORING_ENTER_NO_IOWAIT, 6.15

// user_data of what is not a Completion's address (those are multiples of eight).
constexpr uint64_t kNobody = 0;
constexpr uint64_t kWakeTag = 2;
constexpr uint64_t kInferredTag = 1;
constexpr uint64_t kTagMask = 7;

uint64_t UserData(Completion* completion) { return reinterpret_cast<uint64_t>(completion); }

// A copy of the server would answer its clients a second time.
[[noreturn]] void DieAfterFork() {
  std::fprintf(stderr,
               "greenring: process %d was made by fork on a green thread and came back to the event loop, which is its "
               "parent's: such a process must end with os._exit() or exec\n",
               getpid());
  _exit(EX_SOFTWARE);
}

}  // namespace

// ---- operations ----------------------------------------------------------------------------------------------------

io_uring_sqe* Uring::NextSqe() {
  while (queued() == ring_.sq.ring_entries && !abandoned_) {
    Enter(0, 0, 0);
    if (queued() < ring_.sq.ring_entries) break;
    // The kernel took nothing. It is short of memory, or, before 5.19, its completion queue has overflowed: make room
    // there without running anybody.
    Collect(SIZE_MAX);
    sched_yield();
  }
  return &ring_.sq.sqes[ring_.sq.sqe_tail++ & ring_.sq.ring_mask];
}

void Uring::Queue(io_uring_sqe* sqe, Completion* completion) {
  sqe->user_data = UserData(completion);
  ++in_flight_;
}

void Uring::QueueUnreported(io_uring_sqe* sqe) {
  sqe->user_data = kNobody;
  if (Has(UringOptions::kSkipSuccess)) sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void Uring::AcceptMultishot(int fd, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_accept(sqe, fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (Has(UringOptions::kMultishotAccept)) sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
  Queue(sqe, completion);
}

void Uring::Accept(int fd, sockaddr* address, socklen_t* size, int flags, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_accept(sqe, fd, address, size, flags);
  Queue(sqe, completion);
}

void Uring::RecvMultishot(int fd, Completion* completion) {
  if (!Has(UringOptions::kMultishotRecv)) return RecvProvided(fd, completion);
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
  Queue(sqe, completion);
}

void Uring::RecvProvided(int fd, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_recv(sqe, fd, nullptr, options_.buffer_size_bytes, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
  Queue(sqe, completion);
}

void Uring::Recv(int fd, void* data, size_t size, int flags, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_recv(sqe, fd, data, size, flags);
  Queue(sqe, completion);
}

void Uring::RecvMsg(int fd, msghdr* message, int flags, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_recvmsg(sqe, fd, message, static_cast<unsigned>(flags));
  Queue(sqe, completion);
}

void Uring::Send(int fd, const void* data, size_t size, int flags, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_send(sqe, fd, data, size, flags);
  Queue(sqe, completion);
}

void Uring::SendMsg(int fd, const msghdr* message, int flags, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_sendmsg(sqe, fd, message, static_cast<unsigned>(flags));
  Queue(sqe, completion);
}

void Uring::SendAtOnce(int fd, const void* data, size_t size, Completion* completion) {
  // DONTWAIT: it is decided during the submission. WAITALL: less than everything counts as a failure, so that it posts
  // a completion although success does not.
  constexpr int kFlags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
  Send(fd, data, size, kFlags, completion);
  if (!Has(UringOptions::kInferredSend)) return;
  io_uring_sqe* sqe = &ring_.sq.sqes[(ring_.sq.sqe_tail - 1) & ring_.sq.ring_mask];
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = inferred_.size() << 3 | kInferredTag;
  inferred_.push_back({completion, static_cast<int32_t>(size)});
}

void Uring::Read(int fd, void* data, size_t size, int64_t offset, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_read(sqe, fd, data, static_cast<unsigned>(size), static_cast<uint64_t>(offset));
  Queue(sqe, completion);
}

void Uring::Write(int fd, const void* data, size_t size, int64_t offset, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_write(sqe, fd, data, static_cast<unsigned>(size), static_cast<uint64_t>(offset));
  Queue(sqe, completion);
}

void Uring::ReadV(int fd, const iovec* parts, int count, int64_t offset, int flags, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_readv2(sqe, fd, parts, static_cast<unsigned>(count), static_cast<uint64_t>(offset), flags);
  Queue(sqe, completion);
}

void Uring::WriteV(int fd, const iovec* parts, int count, int64_t offset, int flags, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_writev2(sqe, fd, parts, static_cast<unsigned>(count), static_cast<uint64_t>(offset), flags);
  Queue(sqe, completion);
}

void Uring::Fsync(int fd, bool data_only, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_fsync(sqe, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
  Queue(sqe, completion);
}

void Uring::OpenAt(int directory, const char* path, int flags, mode_t mode, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_openat(sqe, directory, path, flags, mode);
  // Else the kernel would first try with O_NONBLOCK, and that is another question: a FIFO's reading end then opens
  // without a writer, its writing end fails without a reader.
  sqe->flags |= IOSQE_ASYNC;
  Queue(sqe, completion);
}

void Uring::Splice(int fd_in, int64_t offset_in, int fd_out, int64_t offset_out, size_t size, unsigned flags,
                   Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_splice(sqe, fd_in, offset_in, fd_out, offset_out, static_cast<unsigned>(size), flags);
  Queue(sqe, completion);
}

void Uring::PollAdd(int fd, uint32_t events, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_poll_add(sqe, fd, events);
  Queue(sqe, completion);
}

void Uring::Connect(int fd, const sockaddr* address, socklen_t size, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_connect(sqe, fd, address, size);
  Queue(sqe, completion);
}

void Uring::Shutdown(int fd, int how, Completion* completion) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_shutdown(sqe, fd, how);
  Queue(sqe, completion);
}

void Uring::Close(int fd) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_close(sqe, fd);
  QueueUnreported(sqe);
}

void Uring::Cancel(Completion* completion) {
  // A send that is inferred is decided at its submission: nothing is left to cancel, and no operation has this
  // user_data.
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_cancel(sqe, completion, 0);
  QueueUnreported(sqe);
}

// ---- provided buffers ----------------------------------------------------------------------------------------------

char* Uring::BufferOf(uint32_t flags) { return buffer(flags >> IORING_CQE_BUFFER_SHIFT); }

void Uring::ReturnBuffer(uint32_t flags) { ProvideBuffer(flags >> IORING_CQE_BUFFER_SHIFT); }

void Uring::ProvideBuffer(unsigned index) {
  const unsigned size = static_cast<unsigned>(options_.buffer_size_bytes);
  if (buffer_ring_ != nullptr) {
    io_uring_buf_ring_add(buffer_ring_, buffer(index), size, static_cast<uint16_t>(index),
                          static_cast<int>(options_.buffers_max - 1), 0);
    io_uring_buf_ring_advance(buffer_ring_, 1);
    return;
  }
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_provide_buffers(sqe, buffer(index), static_cast<int>(size), 1, kBufferGroup, static_cast<int>(index));
  QueueUnreported(sqe);
}

void Uring::GrowBuffers() {
  const unsigned target = std::min(options_.buffers_max, std::max(1u, buffers_provided_ * 2));
  while (buffers_provided_ < target) ProvideBuffer(buffers_provided_++);
}

// ---- the turn ------------------------------------------------------------------------------------------------------

unsigned Uring::queued() const { return ring_.sq.sqe_tail - *ring_.sq.khead; }

unsigned Uring::ready() const { return io_uring_smp_load_acquire(ring_.cq.ktail) - *ring_.cq.khead; }

uint32_t Uring::kernel_flags() const { return IO_URING_READ_ONCE(*ring_.sq.kflags); }

void Uring::Enter(unsigned wait_count, int64_t patience_ns, int64_t deadline_ns) {
  io_uring_smp_store_release(ring_.sq.ktail, ring_.sq.sqe_tail);
  unsigned flags = IORING_ENTER_GETEVENTS;
  if (Has(UringOptions::kRegisteredRing)) flags |= IORING_ENTER_REGISTERED_RING;
  io_uring_getevents_arg argument{};
  __kernel_timespec timeout;
  if (wait_count > 0) {
    if (Has(UringOptions::kNoIowait)) flags |= kEnterNoIowait;
    if (patience_ns > 0) {
      // In the place that Debian 12's header calls `pad`: min_wait_usec. The kernel heeds it only beside a timeout.
      argument.pad = static_cast<uint32_t>(patience_ns / kNanosecondsPerMicrosecond);
      deadline_ns = std::min(deadline_ns, kNeverNs / 2);
    }
    if (deadline_ns != kNeverNs) {
      int64_t time_ns = deadline_ns;
      if (Has(UringOptions::kAbsoluteTimeout)) {
        flags |= kEnterAbsTimer;
      } else {
        time_ns = std::max<int64_t>(0, deadline_ns - Clock::Monotonic()->NowNs());
      }
      timeout = {time_ns / kNanosecondsPerSecond, time_ns % kNanosecondsPerSecond};
      argument.ts = reinterpret_cast<uint64_t>(&timeout);
      flags |= IORING_ENTER_EXT_ARG;
    }
  }
  const bool extended = (flags & IORING_ENTER_EXT_ARG) != 0;
  ++system_calls_;
  const int result = io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), queued(), wait_count, flags,
                                     extended ? reinterpret_cast<sigset_t*>(&argument) : nullptr,
                                     extended ? sizeof(argument) : _NSIG / 8);
  // The rest are the world's: a signal, the deadline, no memory for now, completions to be reaped first. What was not
  // taken stays queued.
  GREENRING_CHECK(result >= 0 || result == -EINTR || result == -ETIME || result == -EAGAIN || result == -EBUSY ||
                  result == -ENOMEM);
}

void Uring::SubmitAndGather(unsigned wait_count, int64_t patience_ns, int64_t deadline_ns) {
  if (!Has(UringOptions::kGather)) return Turn(1, 0, deadline_ns);
  Turn(wait_count, patience_ns, deadline_ns);
}

void Uring::Turn(unsigned wait_count, int64_t patience_ns, int64_t deadline_ns) {
  if (abandoned_) DieAfterFork();
  const unsigned completed = ready() + static_cast<unsigned>(reaped_.size());
  bool waits = deadline_ns != 0 && completed < wait_count && !inferred_overdue_;
  if (waits) {
    Sleep awake = Sleep::kAwake;
    waits = sleep_.compare_exchange_strong(awake, Sleep::kAsleep);
  }
  if (waits) {
    Enter(wait_count, patience_ns, deadline_ns);
  } else if (queued() > 0 || (completed == 0 && (kernel_flags() & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)))) {
    Enter(0, 0, 0);
    // Until a Reap has confirmed them a wait could be for their success, which nobody reports.
    inferred_overdue_ = !inferred_.empty();
  }
  // What a waker wrote before its Wake is visible from here on; a Wake after here keeps the next wait from sleeping.
  // (A mere submission, in the middle of a turn, leaves that to the wait at its end.)
  if (wait_count > 0 && sleep_.load(std::memory_order_relaxed) != Sleep::kAwake) sleep_.exchange(Sleep::kAwake);
}

void Uring::Collect(size_t limit) {
  const unsigned head = *ring_.cq.khead;
  const unsigned count = static_cast<unsigned>(std::min<size_t>(ready(), limit));
  for (unsigned i = 0; i < count; ++i) {
    const io_uring_cqe& cqe = ring_.cq.cqes[(head + i) & ring_.cq.ring_mask];
    if (cqe.res == -ENOBUFS && buffers_provided_ < options_.buffers_max) GrowBuffers();
    if (cqe.user_data != kNobody && (cqe.user_data & kTagMask) == 0) {
      reaped_.push_back({reinterpret_cast<Completion*>(cqe.user_data), cqe.res, cqe.flags});
    } else {
      CollectSpecial(cqe.user_data, cqe.res, cqe.flags);
    }
  }
  io_uring_smp_store_release(ring_.cq.khead, head + count);
}

void Uring::CollectSpecial(uint64_t user_data, int32_t result, uint32_t flags) {
  if (user_data & kInferredTag) {
    InferredSend& send = inferred_[user_data >> 3];
    reaped_.push_back({std::exchange(send.completion, nullptr), result, flags});
  } else if (user_data == kWakeTag && !(flags & kMore)) {
    ArmWake();
  }
}

void Uring::ConfirmInferred() {
  // An incomplete send has posted its completion before its submission returned. So when all are submitted and all
  // completions are collected, those that are left have succeeded.
  inferred_overdue_ = queued() > 0 || ready() > 0 || (kernel_flags() & IORING_SQ_CQ_OVERFLOW);
  if (inferred_overdue_) return;
  confirmed_.swap(inferred_);
  for (const InferredSend& send : confirmed_) {
    if (send.completion == nullptr) continue;
    --in_flight_;
    send.completion->OnComplete(send.size, 0);
  }
  confirmed_.clear();
}

size_t Uring::Reap() {
  if (reaped_.size() < kReapMax) Collect(kReapMax - reaped_.size());
  if (!inferred_.empty()) ConfirmInferred();
  const size_t count = std::min(reaped_.size(), kReapMax);
  for (size_t i = 0; i < count; ++i) {
    const Reaped reaped = reaped_[i];  // a copy: an operation queued by it may add to the list
    if (!(reaped.flags & kMore)) --in_flight_;
    reaped.completion->OnComplete(reaped.result, reaped.flags);
  }
  reaped_.erase(reaped_.begin(), reaped_.begin() + static_cast<ptrdiff_t>(count));
  return count;
}

void Uring::AbandonAfterFork() {
  const auto replace = [](void* mapping, size_t size) {
    void* placed = mmap(mapping, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    GREENRING_CHECK(placed == mapping);
  };
  abandoned_ = true;
  replace(ring_.sq.ring_ptr, ring_.sq.ring_sz);
  if (ring_.cq.ring_ptr != ring_.sq.ring_ptr) replace(ring_.cq.ring_ptr, ring_.cq.ring_sz);
  replace(ring_.sq.sqes, ring_.sq.ring_entries * sizeof(io_uring_sqe));
  syscall(SYS_close, ring_.ring_fd);
}

// ---- waking --------------------------------------------------------------------------------------------------------

void Uring::ArmWake() {
  // Edge-triggered, as every multishot poll: each write to the eventfd completes it once and nobody needs to read.
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_poll_multishot(sqe, wake_fd_.get(), POLLIN);
  sqe->user_data = kWakeTag;
}

void Uring::Wake() {
  // Only the first Wake of a sleeping ring costs a system call.
  if (sleep_.exchange(Sleep::kWoken) != Sleep::kAsleep) return;
  const int saved_errno = errno;
  const uint64_t one = 1;
  // Not write(2): that name may be ours, for green threads.
  syscall(SYS_write, wake_fd_.get(), &one, sizeof(one));
  errno = saved_errno;
}

}  // namespace greenring::ioloop
