// The seam between the event loop and the kernel: asynchronous operations go in, completions come out.
//
//   struct Greeting : Completion { void OnComplete(int32_t result, uint32_t flags) override; };
//   ring->Send(fd, text, size, 0, &greeting);
//   ring->SubmitAndWait(1, kNeverNs);           // one system call for everything queued, and waits
//   ring->Reap();                               // runs greeting.OnComplete
//
// `uring.h` is the kernel's io_uring, `testing/sim_ring.h` a simulated kernel without time or sockets; one conformance
// suite (ring_conformance_test.cc) runs on both. Errors of an operation arrive as a negative errno in `result`, as the
// kernel gives them (io_uring_enter(2)). An operation's memory and Completion must live until its last completion has
// been delivered: the one without kMore. What an operation only points to (a msghdr, iovecs, a sockaddr, a path) is
// read at submission and need not live longer than the next SubmitAndWait. All calls on the loop's thread, except Wake.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace greenring::ioloop {

// Whoever waits for an operation. Embedded in its owner, never allocated per operation; serves one operation at a time.
class Completion {
 public:
  // `result` as the kernel's cqe->res. `flags`: kMore and kBuffer below. Runs in the loop's context: it unparks and
  // queues, and never parks.
  virtual void OnComplete(int32_t result, uint32_t flags) = 0;

 protected:
  ~Completion() = default;
};

class Ring {
 public:
  // Flags of a completion (the kernel's own bits).
  static constexpr uint32_t kBuffer = 1u << 0;        // a provided buffer is attached: BufferOf(flags)
  static constexpr uint32_t kMore = 1u << 1;          // a multishot operation goes on
  static constexpr uint32_t kSockNonEmpty = 1u << 2;  // more data was waiting on the socket after this receive

  virtual ~Ring() = default;

  // ---- operations: each queues one; no system call unless the submission queue is full ----

  // Accepts until cancelled; each completion's result is a connected, non-blocking, close-on-exec socket. A completion
  // without kMore ends it, whatever its result (the kernel may be short of memory, or too old for multishot): arm
  // again.
  virtual void AcceptMultishot(int fd, Completion* completion) = 0;

  // Accepts one connection: the result is its socket, with `flags` (accept4(2)). `address` and `size` are accept's, may
  // be nullptr, and are written when it completes.
  virtual void Accept(int fd, sockaddr* address, socklen_t* size, int flags, Completion* completion) = 0;

  // Receives into provided buffers until cancelled, an error or end of stream (result 0). -ENOBUFS without kMore:
  // all buffers are in use; arm again when some have been returned. As above, data may come without kMore.
  virtual void RecvMultishot(int fd, Completion* completion) = 0;

  // Receives once, into a provided buffer: for a socket of which one receive is expected.
  virtual void RecvProvided(int fd, Completion* completion) = 0;

  virtual void Recv(int fd, void* data, size_t size, int flags, Completion* completion) = 0;

  // `message` is the caller's until it completes: then it says how much control data there is, and its flags
  // (recvmsg(2)).
  virtual void RecvMsg(int fd, msghdr* message, int flags, Completion* completion) = 0;

  virtual void Send(int fd, const void* data, size_t size, int flags, Completion* completion) = 0;
  virtual void SendMsg(int fd, const msghdr* message, int flags, Completion* completion) = 0;

  // Sends what fits now: the result is less than `size`, or -EAGAIN, when not everything did. The completion may come
  // as late as the next other event: the kernel reports only an incomplete send, success is inferred and wakes nobody.
  // (One that an earlier SubmitAndWait has submitted keeps the next from waiting.)
  virtual void SendAtOnce(int fd, const void* data, size_t size, Completion* completion) = 0;

  // `offset` -1: the file's current position.
  virtual void Read(int fd, void* data, size_t size, int64_t offset, Completion* completion) = 0;
  virtual void Write(int fd, const void* data, size_t size, int64_t offset, Completion* completion) = 0;

  // The same for several buffers at once; `flags`: RWF_... of preadv2(2).
  virtual void ReadV(int fd, const iovec* parts, int count, int64_t offset, int flags, Completion* completion) = 0;
  virtual void WriteV(int fd, const iovec* parts, int count, int64_t offset, int flags, Completion* completion) = 0;

  // Of the file, or only of what is needed to read its data again (fdatasync).
  virtual void Fsync(int fd, bool data_only, Completion* completion) = 0;

  // openat(2): result is the descriptor. However long it takes (a FIFO waits for its other end) the turn goes on.
  virtual void OpenAt(int directory, const char* path, int flags, mode_t mode, Completion* completion) = 0;

  // File to pipe or pipe to socket, without a copy; offsets -1: current.
  virtual void Splice(int fd_in, int64_t offset_in, int fd_out, int64_t offset_out, size_t size, unsigned flags,
                      Completion* completion) = 0;

  // One poll(2) event; result is the mask of what is ready.
  virtual void PollAdd(int fd, uint32_t events, Completion* completion) = 0;
  virtual void Connect(int fd, const sockaddr* address, socklen_t size, Completion* completion) = 0;
  virtual void Shutdown(int fd, int how, Completion* completion) = 0;

  // Closes; nobody waits, errors are dropped. A socket with an operation in flight stays open until that has completed.
  virtual void Close(int fd) = 0;

  // Asks for the end of `completion`'s operation, which still completes: with -ECANCELED, or with what came first.
  virtual void Cancel(Completion* completion) = 0;

  // ---- provided buffers ----

  // The buffer of a completion with kBuffer; valid until ReturnBuffer. `result` bytes of it are filled.
  virtual char* BufferOf(uint32_t flags) = 0;
  virtual void ReturnBuffer(uint32_t flags) = 0;
  virtual size_t buffer_size_bytes() const = 0;

  // ---- the turn ----

  // Hands everything queued to the kernel and waits for at least `wait_count` completions, until `deadline_ns`
  // (monotonic clock; 0: does not wait), a signal, or a Wake. One system call; none when nothing is queued and
  // completions are already there or nothing is to be waited for.
  virtual void SubmitAndWait(unsigned wait_count, int64_t deadline_ns) = 0;

  // As SubmitAndWait(1, deadline_ns), but for a time when many completions come one soon after the other: it sleeps for
  // `wait_count` of them, and is content with one only after `patience_ns`. Fewer system calls and wake-ups for a
  // delay.
  virtual void SubmitAndGather(unsigned wait_count, int64_t patience_ns, int64_t deadline_ns) = 0;

  // Delivers what has completed: first copies completions out of the kernel's queue, then runs them, at most
  // kReapMax. Returns how many.
  virtual size_t Reap() = 0;

  // Makes a SubmitAndWait that waits, or the next one that would (`wait_count` is not 0), return at once. Thread-safe
  // and async-signal-safe.
  virtual void Wake() = 0;

  // In the child after fork, before anything else is done with the ring there: from now on this object shares nothing
  // with the parent's ring. Operations go nowhere, and a SubmitAndWait ends the process with a message.
  virtual void AbandonAfterFork() = 0;

  // Operations queued or submitted and not completed, of which nothing may be left at the end (Close and Cancel do not
  // count).
  virtual size_t in_flight() const = 0;

  // Calls of io_uring_enter so far.
  virtual uint64_t system_calls() const = 0;

  // One line for the log: which rung of the ladder of features is in use and why.
  virtual std::string Describe() const = 0;

  static constexpr size_t kReapMax = 1024;
};

}  // namespace greenring::ioloop
