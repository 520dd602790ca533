// The physical limit that Greenring is measured against: an HTTP responder on io_uring, without the HTTP.
//
//   raw_responder --port=8081 --response_file=response.bin
//
// A read that ends in an empty line is taken for one whole request and answered with the same bytes as always; nothing
// is parsed and there is no Python. What is left is the kernel's work: a receive, a send, and their share of a turn. A
// request that says "Connection: close" gets its connection closed. One thread, one ring, the flags of Greenring's own
// loop; the options switch single kernel features to see what each is worth (docs/BENCHMARKS.md has the figures). Needs
// Linux 6.1, --min_wait_us needs 6.12, --bundle 6.10.
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"

ABSL_FLAG(int, port, 8081, "TCP port on 127.0.0.1");
ABSL_FLAG(std::string, response_file, "", "answer with this file's bytes, not with the built-in hello world");
ABSL_FLAG(int, wait_nr, 1, "completions that end a turn's sleep");
ABSL_FLAG(int, min_wait_us, 0, "after this time one completion is enough; 0: sleep for wait_nr however long");
ABSL_FLAG(std::string, recv, "lazy",
          "multi: one receive for a connection's life; lazy: from the second request; single");
ABSL_FLAG(bool, bundle, false, "a receive may fill several buffers");
ABSL_FLAG(bool, poll_first, false, "a receive waits for data before it tries");
ABSL_FLAG(bool, direct, true, "connections are direct descriptors");
ABSL_FLAG(bool, skip_success, true, "a send that succeeds posts no completion");
ABSL_FLAG(bool, syscall_send, false, "answer with send(2); needs --nodirect");
ABSL_FLAG(bool, defer_accept, true, "TCP_DEFER_ACCEPT: no completion for a connection without data");
ABSL_FLAG(bool, coop_taskrun, true, "IORING_SETUP_COOP_TASKRUN");
ABSL_FLAG(bool, defer_taskrun, true, "IORING_SETUP_DEFER_TASKRUN");
ABSL_FLAG(int, buffers, 256, "provided buffers, a power of two");
ABSL_FLAG(int, buffer_size, 512, "bytes of one");
ABSL_FLAG(int, think_ns, 0, "burn this much CPU for each request, as an application would");

namespace {

constexpr unsigned kRecvSendBundle = 1U << 4;  // IORING_RECVSEND_BUNDLE: liburing 2.3 is older
constexpr int kRingEntries = 1024;
constexpr int kCompletionsMax = 16384;
constexpr int kConnectionsMax = 16384;  // direct descriptors: room for 10,000 idle ones
constexpr int kListenBacklog = 4096;

constexpr std::string_view kHello =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

enum class Op : uint8_t { kAccept, kRecvOnce, kRecvMulti, kSend, kClose };

[[noreturn]] void Die(const char* operation, int error) {
  std::fprintf(stderr, "raw_responder: %s: %s\n", operation, std::strerror(error));
  std::exit(1);
}

int Checked(const char* operation, int result) {
  if (result < 0) Die(operation, -result);
  return result;
}

void* Map(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  if (memory == MAP_FAILED) Die("mmap", errno);
  return memory;
}

int Listen(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // inherited by connections
  if (absl::GetFlag(FLAGS_defer_accept)) setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) Die("bind", errno);
  if (listen(fd, kListenBacklog) < 0) Die("listen", errno);
  return fd;
}

class Responder {
 public:
  Responder(int listen_fd, std::string response);

  [[noreturn]] void Run();

 private:
  void SetUpRing();
  void SetUpBuffers();
  io_uring_sqe* NextSqe();
  void Tag(io_uring_sqe* sqe, Op op, int connection, unsigned flags = 0) const;
  void Accept();
  void Recv(int connection, Op op);
  void Close(int connection);
  void Answer(int connection, Op received_by, bool close);
  void OnRecv(const io_uring_cqe& cqe, int connection, Op op);
  void OnCompletion(const io_uring_cqe& cqe);
  void Sleep();
  void Think() const;

  const int listen_fd_;
  const std::string response_;
  std::string closing_response_;

  // Copies: reading an absl flag costs more than the branch.
  const bool direct_ = absl::GetFlag(FLAGS_direct);
  const bool syscall_send_ = absl::GetFlag(FLAGS_syscall_send);
  const unsigned send_flags_ = absl::GetFlag(FLAGS_skip_success) ? IOSQE_CQE_SKIP_SUCCESS : 0;
  const unsigned recv_options_ = (absl::GetFlag(FLAGS_bundle) ? kRecvSendBundle : 0) |
                                 (absl::GetFlag(FLAGS_poll_first) ? IORING_RECVSEND_POLL_FIRST : 0);
  const Op first_recv_ = absl::GetFlag(FLAGS_recv) == "multi" ? Op::kRecvMulti : Op::kRecvOnce;
  const Op next_recv_ = absl::GetFlag(FLAGS_recv) == "single" ? Op::kRecvOnce : Op::kRecvMulti;
  const int wait_nr_ = absl::GetFlag(FLAGS_wait_nr);
  const int min_wait_us_ = absl::GetFlag(FLAGS_min_wait_us);
  const int think_ns_ = absl::GetFlag(FLAGS_think_ns);
  const int buffers_ = absl::GetFlag(FLAGS_buffers);
  const int buffer_size_ = absl::GetFlag(FLAGS_buffer_size);

  io_uring ring_;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  char* buffer_memory_ = nullptr;
  int buffers_returned_ = 0;  // in this turn
};

Responder::Responder(int listen_fd, std::string response)
    : listen_fd_(listen_fd), response_(std::move(response)), closing_response_(response_) {
  closing_response_.insert(closing_response_.find("\r\n") + 2, "Connection: close\r\n");
  SetUpRing();
  SetUpBuffers();
}

void Responder::SetUpRing() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
  if (absl::GetFlag(FLAGS_coop_taskrun)) params.flags |= IORING_SETUP_COOP_TASKRUN;
  if (absl::GetFlag(FLAGS_defer_taskrun)) params.flags |= IORING_SETUP_DEFER_TASKRUN;
  params.cq_entries = kCompletionsMax;
  Checked("io_uring_setup", io_uring_queue_init_params(kRingEntries, &ring_, &params));
  Checked("register the ring's descriptor", io_uring_register_ring_fd(&ring_));
  if (direct_) Checked("register direct descriptors", io_uring_register_files_sparse(&ring_, kConnectionsMax));
}

void Responder::SetUpBuffers() {
  buffer_ring_ = static_cast<io_uring_buf_ring*>(Map(buffers_ * sizeof(io_uring_buf)));
  buffer_memory_ = static_cast<char*>(Map(static_cast<size_t>(buffers_) * buffer_size_));
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
  registration.ring_entries = buffers_;
  Checked("register buffers", io_uring_register_buf_ring(&ring_, &registration, 0));
  io_uring_buf_ring_init(buffer_ring_);
  for (int i = 0; i < buffers_; ++i) {
    io_uring_buf_ring_add(buffer_ring_, buffer_memory_ + i * buffer_size_, buffer_size_, i, buffers_ - 1, i);
  }
  io_uring_buf_ring_advance(buffer_ring_, buffers_);
}

io_uring_sqe* Responder::NextSqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

void Responder::Tag(io_uring_sqe* sqe, Op op, int connection, unsigned flags) const {
  sqe->user_data = static_cast<uint64_t>(connection) << 8 | static_cast<uint64_t>(op);
  sqe->flags |= flags;
}

void Responder::Accept() {
  io_uring_sqe* sqe = NextSqe();
  if (direct_) {
    io_uring_prep_multishot_accept_direct(sqe, listen_fd_, nullptr, nullptr, 0);
  } else {
    io_uring_prep_multishot_accept(sqe, listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
  }
  Tag(sqe, Op::kAccept, 0);
}

void Responder::Recv(int connection, Op op) {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_recv(sqe, connection, nullptr, 0, 0);
  sqe->ioprio |= recv_options_ | (op == Op::kRecvMulti ? IORING_RECV_MULTISHOT : 0);
  Tag(sqe, op, connection, IOSQE_BUFFER_SELECT | (direct_ ? IOSQE_FIXED_FILE : 0));
}

void Responder::Close(int connection) {
  io_uring_sqe* sqe = NextSqe();
  if (direct_) {
    io_uring_prep_close_direct(sqe, connection);
  } else {
    io_uring_prep_close(sqe, connection);
  }
  Tag(sqe, Op::kClose, connection, IOSQE_CQE_SKIP_SUCCESS);
}

void Responder::Answer(int connection, Op received_by, bool close) {
  const std::string& response = close ? closing_response_ : response_;
  if (syscall_send_) {
    send(connection, response.data(), response.size(), MSG_NOSIGNAL);
  } else {
    io_uring_sqe* sqe = NextSqe();
    io_uring_prep_send(sqe, connection, response.data(), response.size(), MSG_NOSIGNAL | MSG_WAITALL);
    Tag(sqe, Op::kSend, connection, send_flags_ | (direct_ ? IOSQE_FIXED_FILE : 0) | (close ? IOSQE_IO_HARDLINK : 0));
  }
  if (!close) return;
  if (received_by == Op::kRecvOnce) return Close(connection);
  // A multishot receive is still armed and holds the socket: a shutdown ends it, and its last completion closes.
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_shutdown(sqe, connection, SHUT_RDWR);
  Tag(sqe, Op::kSend, connection, IOSQE_CQE_SKIP_SUCCESS | (direct_ ? IOSQE_FIXED_FILE : 0));
}

void Responder::OnRecv(const io_uring_cqe& cqe, int connection, Op op) {
  if (cqe.res == -ENOBUFS) return Recv(connection, op);
  if (cqe.res <= 0) return Close(connection);
  const int buffer = static_cast<int>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
  char* const memory = buffer_memory_ + buffer * buffer_size_;
  const std::string_view data(memory, cqe.res);
  const bool ends_request = data.ends_with("\r\n\r\n");
  const bool close = ends_request && data.find("Connection: close") != data.npos;
  if (think_ns_ > 0) Think();
  if (ends_request) Answer(connection, op, close);
  io_uring_buf_ring_add(buffer_ring_, memory, buffer_size_, buffer, buffers_ - 1, buffers_returned_++);
  const bool armed = cqe.flags & IORING_CQE_F_MORE;
  if (!armed && !(close && op == Op::kRecvOnce)) Recv(connection, next_recv_);
}

void Responder::OnCompletion(const io_uring_cqe& cqe) {
  const int connection = static_cast<int>(cqe.user_data >> 8);
  switch (const Op op = static_cast<Op>(cqe.user_data & 0xff)) {
    case Op::kAccept:
      if (cqe.res >= 0) Recv(cqe.res, first_recv_);
      if (!(cqe.flags & IORING_CQE_F_MORE)) Accept();
      return;
    case Op::kRecvOnce:
    case Op::kRecvMulti:
      return OnRecv(cqe, connection, op);
    case Op::kSend:  // failed: the receive fails as well
    case Op::kClose:
      return;
  }
}

void Responder::Think() const {
  timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1'000'000'000 + now.tv_nsec - start.tv_nsec < think_ns_);
}

// Submits everything and sleeps: the turn's only system call.
void Responder::Sleep() {
  if (min_wait_us_ == 0) {
    io_uring_submit_and_wait(&ring_, wait_nr_);
    return;
  }
  // liburing 2.3 does not know the minimum wait: publish the submission queue and enter by hand.
  io_uring_sq& sq = ring_.sq;
  const unsigned count = sq.sqe_tail - sq.sqe_head;
  unsigned tail = *sq.ktail;
  for (unsigned i = 0; i < count; ++i) sq.array[tail++ & *sq.kring_mask] = sq.sqe_head++ & *sq.kring_mask;
  io_uring_smp_store_release(sq.ktail, tail);
  __kernel_timespec forever{.tv_sec = 3600, .tv_nsec = 0};
  io_uring_getevents_arg argument{};
  argument.pad = min_wait_us_;  // min_wait_usec since 6.12
  argument.ts = reinterpret_cast<uint64_t>(&forever);
  io_uring_enter2(ring_.enter_ring_fd, count, wait_nr_,
                  IORING_ENTER_REGISTERED_RING | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
                  reinterpret_cast<sigset_t*>(&argument), sizeof argument);
}

void Responder::Run() {
  Accept();
  for (;;) {
    Sleep();
    unsigned head, count = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      OnCompletion(*cqe);
      ++count;
    }
    if (buffers_returned_ > 0) io_uring_buf_ring_advance(buffer_ring_, buffers_returned_);
    buffers_returned_ = 0;
    io_uring_cq_advance(&ring_, count);
  }
}

std::string Response() {
  const std::string path = absl::GetFlag(FLAGS_response_file);
  if (path.empty()) return std::string(kHello);
  std::ifstream file(path, std::ios::binary);
  if (!file) Die(path.c_str(), errno);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const int port = absl::GetFlag(FLAGS_port);
  Responder responder(Listen(port), Response());
  std::fprintf(stderr, "raw_responder: listening on http://127.0.0.1:%d\nraw_responder: ready\n", port);
  responder.Run();
}
