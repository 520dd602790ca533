// A simulated kernel as a Ring: sockets are byte queues in memory, time is a SimClock, and what can go wrong is
// scripted.
//
//   SimClock clock;
//   SimRing ring(&clock, {.seed = 7});
//   auto [ours, peers] = ring.SocketPair();
//   ring.PeerWrite(peers, "GET / HTTP/1.1\r\n\r\n");
//   ring.FailNext(SimRing::Kind::kSend, EPIPE);
//   ring.SubmitAndWait(1, kNeverNs);
//   ring.Reap();
//
// Operations that can complete do so in SubmitAndWait, in an order drawn from the seed (0: in the order of submission).
// A wait moves the clock to its deadline; one without deadline that nothing can end waits for a real Wake from another
// OS thread. Descriptors begin at kFirstFd, where the real kernel has none. What the peer of a socket does is a plain
// call (Peer...) with immediate effect. All on one OS thread, except Wake.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ioloop/ring.h"
#include "testing/sim_clock.h"

namespace greenring::testing {

struct SimRingOptions {
  uint64_t seed = 0;                     // 0: no permutation, no races
  size_t socket_capacity_bytes = 65536;  // a socket's send buffer
  size_t buffer_count = 64;
  size_t buffer_size_bytes = 4096;
  bool multishot = true;  // false: as a kernel that has none
};

class SimRing final : public ioloop::Ring {
 public:
  using Completion = ioloop::Completion;
  enum class Kind { kAccept, kRecv, kSend, kSplice, kPoll, kConnect, kShutdown, kOpen, kFsync, kClose, kCancel };

  static constexpr int kFirstFd = 1'000'000'000;

  SimRing(SimClock* clock, const SimRingOptions& options = {});

  // Checked: nothing is in flight, every buffer has been returned.
  ~SimRing() override;

  // ---- the world outside ----

  // A socket that is not connected.
  int Socket();
  // Two connected stream sockets.
  std::pair<int, int> SocketPair();
  // Two ends of a pipe: to read, to write.
  std::pair<int, int> Pipe();
  int File(std::string content);
  // Under this OpenAt finds it.
  static std::string PathOf(int fd) { return "/proc/self/fd/" + std::to_string(fd); }
  int Listen(uint16_t port);
  // Connects to a listening socket; the peer's end. -1 when nobody listens there.
  int PeerConnect(uint16_t port);

  // Returns how many fitted.
  size_t PeerWrite(int fd, std::string_view data);
  std::string PeerRead(int fd, size_t size_max = SIZE_MAX);
  // The other side has finished and everything has been read.
  bool PeerSeesEnd(int fd) const;
  void PeerShutdown(int fd);
  void PeerClose(int fd);
  // The other side's operations fail with ECONNRESET.
  void PeerReset(int fd);

  // The next operation of this kind completes with -`error_number`.
  void FailNext(Kind kind, int error_number) { failures_.emplace_back(kind, error_number); }

  // Every send takes at most `size` bytes at a time.
  void LimitSends(size_t size) { send_limit_bytes_ = size; }

  bool IsOpen(int fd) const { return files_.count(fd) > 0; }
  size_t open_count() const { return files_.size(); }
  int gathers() const { return gathers_; }  // calls of SubmitAndGather
  size_t buffers_free() const { return free_buffers_.size(); }

  // ---- Ring ----

  void AcceptMultishot(int fd, Completion* completion) override;
  // Peers have no address: `size` becomes 0.
  void Accept(int fd, sockaddr* address, socklen_t* size, int flags, Completion* completion) override;
  void RecvMultishot(int fd, Completion* completion) override;
  void RecvProvided(int fd, Completion* completion) override;
  void Recv(int fd, void* data, size_t size, int flags, Completion* completion) override;
  // There is no control data.
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
  void SubmitAndWait(unsigned wait_count, int64_t deadline_ns) override;
  // Nothing comes while it sleeps, so more patience would change nothing.
  void SubmitAndGather(unsigned wait_count, int64_t patience_ns, int64_t deadline_ns) override {
    ++gathers_;
    SubmitAndWait(1, deadline_ns);
  }
  size_t Reap() override;
  void Wake() override;
  void AbandonAfterFork() override {}  // its memory is the process's own
  size_t in_flight() const override { return in_flight_; }
  uint64_t system_calls() const override { return system_calls_; }
  std::string Describe() const override { return "simulated ring, seed " + std::to_string(options_.seed); }

 private:
  // One direction of a connection, or a pipe.
  struct Channel {
    std::string bytes;
    size_t capacity_bytes;
    bool ended = false;   // the writer is gone, or has shut down
    bool closed = false;  // the reader is gone
    bool reset = false;
  };
  // Lives as long as a descriptor or an operation refers to it.
  struct FileState {
    ~FileState();
    std::shared_ptr<Channel> in, out;
    std::string content;  // of a File
    bool is_file = false;
    bool listens = false;
    std::deque<std::shared_ptr<FileState>> accept_queue;
  };
  using FilePtr = std::shared_ptr<FileState>;
  struct Op {
    Kind kind;
    int fd;
    Completion* completion;
    bool all = false;      // a send that ends with its last byte
    bool at_once = false;  // a send that is over after the submission
    bool multishot = false;
    bool provided = false;  // into a provided buffer
    std::vector<iovec> vectors = {};
    int64_t offset = -1;
    std::string path = {};                       // of an open
    int fd_out = -1;                             // of a splice
    uint32_t argument = 0;                       // a poll's events, a shutdown's direction, a connect's port
    FilePtr file = nullptr, file_out = nullptr;  // from the submission on
    size_t done_bytes = 0;
    bool over = false;
  };
  struct Posted {
    Completion* completion;
    int32_t result;
    uint32_t flags;
  };

  FilePtr FileOf(int fd) const;
  int Install(FilePtr file);
  std::pair<FilePtr, FilePtr> Connected() const;
  Op& Queue(Kind kind, int fd, Completion* completion);
  void Submit();
  void Post(Op* op, int32_t result, uint32_t flags = 0);
  bool RunPending();
  bool Step(Op* op);
  bool StepAccept(Op* op);
  bool StepRecv(Op* op);
  bool StepSend(Op* op);
  bool StepWrite(Op* op);
  void StepOpen(Op* op);
  bool StepSplice(Op* op);
  bool StepPoll(Op* op);
  void StepConnect(Op* op);
  void CancelPending(Completion* completion);
  int TakeFailure(Kind kind);
  bool CoinFlip() { return options_.seed != 0 && (random_() & 1) != 0; }

  SimClock* const clock_;
  const SimRingOptions options_;
  std::mt19937_64 random_;
  std::map<int, FilePtr> files_;
  std::map<uint16_t, std::weak_ptr<FileState>> listeners_;
  int next_fd_ = kFirstFd;
  std::vector<Op> queued_;   // not submitted
  std::vector<Op> pending_;  // submitted, not over
  std::vector<Posted> posted_;
  std::vector<Posted> inferred_;  // successes that wake nobody
  std::vector<std::pair<Kind, int>> failures_;
  size_t send_limit_bytes_ = SIZE_MAX;
  std::vector<char> buffers_;
  std::deque<uint16_t> free_buffers_;
  size_t in_flight_ = 0;
  uint64_t system_calls_ = 0;
  int gathers_ = 0;

  std::mutex wake_mutex_;
  std::condition_variable wake_condition_;
  bool woken_ = false;
};

}  // namespace greenring::testing
