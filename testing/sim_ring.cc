#include "testing/sim_ring.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace greenring::testing {
namespace {

constexpr unsigned kBufferShift = 16;  // as the kernel's IORING_CQE_BUFFER_SHIFT

size_t TotalBytes(const std::vector<iovec>& vectors) {
  size_t total = 0;
  for (const iovec& vector : vectors) total += vector.iov_len;
  return total;
}

// Copies `data` into `vectors`, which have room for it.
void Scatter(std::string_view data, const std::vector<iovec>& vectors) {
  for (const iovec& vector : vectors) {
    const size_t size = std::min(data.size(), vector.iov_len);
    if (size > 0) std::memcpy(vector.iov_base, data.data(), size);
    data.remove_prefix(size);
  }
}

// Copies `size` bytes of `vectors`, from `offset` on.
std::string Slice(const std::vector<iovec>& vectors, size_t offset, size_t size) {
  std::string all;
  for (const iovec& vector : vectors) all.append(static_cast<const char*>(vector.iov_base), vector.iov_len);
  return all.substr(offset, size);
}

}  // namespace

SimRing::FileState::~FileState() {
  if (in != nullptr) in->closed = true;
  if (out != nullptr) out->ended = true;
}

SimRing::SimRing(SimClock* clock, const SimRingOptions& options)
    : clock_(clock),
      options_(options),
      random_(options.seed),
      buffers_(options.buffer_count * options.buffer_size_bytes) {
  for (size_t i = 0; i < options.buffer_count; ++i) free_buffers_.push_back(static_cast<uint16_t>(i));
}

SimRing::~SimRing() {
  GREENRING_CHECK(in_flight_ == 0);
  GREENRING_CHECK(free_buffers_.size() == options_.buffer_count);
}

// ---- the world outside ---------------------------------------------------------------------------------------------

SimRing::FilePtr SimRing::FileOf(int fd) const {
  const auto found = files_.find(fd);
  return found == files_.end() ? nullptr : found->second;
}

int SimRing::Install(FilePtr file) {
  files_[next_fd_] = std::move(file);
  return next_fd_++;
}

std::pair<SimRing::FilePtr, SimRing::FilePtr> SimRing::Connected() const {
  auto a = std::make_shared<FileState>();
  auto b = std::make_shared<FileState>();
  a->in = b->out = std::make_shared<Channel>(Channel{.bytes = "", .capacity_bytes = options_.socket_capacity_bytes});
  b->in = a->out = std::make_shared<Channel>(Channel{.bytes = "", .capacity_bytes = options_.socket_capacity_bytes});
  return {a, b};
}

int SimRing::Socket() { return Install(Connected().first); }

std::pair<int, int> SimRing::SocketPair() {
  auto [a, b] = Connected();
  const int first = Install(a);
  return {first, Install(b)};
}

std::pair<int, int> SimRing::Pipe() {
  auto reader = std::make_shared<FileState>();
  auto writer = std::make_shared<FileState>();
  reader->in = writer->out =
      std::make_shared<Channel>(Channel{.bytes = "", .capacity_bytes = options_.socket_capacity_bytes});
  const int first = Install(reader);
  return {first, Install(writer)};
}

int SimRing::File(std::string content) {
  auto file = std::make_shared<FileState>();
  file->is_file = true;
  file->content = std::move(content);
  return Install(file);
}

int SimRing::Listen(uint16_t port) {
  auto file = std::make_shared<FileState>();
  file->listens = true;
  listeners_[port] = file;
  return Install(file);
}

int SimRing::PeerConnect(uint16_t port) {
  const FilePtr listener = listeners_[port].lock();
  if (listener == nullptr) return -1;
  auto [server, client] = Connected();
  listener->accept_queue.push_back(server);
  return Install(client);
}

size_t SimRing::PeerWrite(int fd, std::string_view data) {
  Channel& out = *FileOf(fd)->out;
  const size_t size = out.closed ? 0 : std::min(data.size(), out.capacity_bytes - out.bytes.size());
  out.bytes.append(data.substr(0, size));
  return size;
}

std::string SimRing::PeerRead(int fd, size_t size_max) {
  Channel& in = *FileOf(fd)->in;
  const size_t size = std::min(size_max, in.bytes.size());
  std::string result = in.bytes.substr(0, size);
  in.bytes.erase(0, size);
  return result;
}

bool SimRing::PeerSeesEnd(int fd) const {
  const Channel& in = *FileOf(fd)->in;
  return in.ended && in.bytes.empty();
}

void SimRing::PeerShutdown(int fd) { FileOf(fd)->out->ended = true; }

void SimRing::PeerClose(int fd) { files_.erase(fd); }

void SimRing::PeerReset(int fd) {
  FileOf(fd)->out->reset = true;
  FileOf(fd)->in->reset = true;
}

// ---- operations ----------------------------------------------------------------------------------------------------

SimRing::Op& SimRing::Queue(Kind kind, int fd, Completion* completion) {
  if (kind != Kind::kClose && kind != Kind::kCancel) ++in_flight_;
  return queued_.emplace_back(Op{.kind = kind, .fd = fd, .completion = completion});
}

void SimRing::AcceptMultishot(int fd, Completion* completion) {
  Queue(Kind::kAccept, fd, completion).multishot = options_.multishot;
}

void SimRing::Accept(int fd, sockaddr* address, socklen_t* size, int flags, Completion* completion) {
  if (size != nullptr) *size = 0;
  Queue(Kind::kAccept, fd, completion);
}

void SimRing::RecvMultishot(int fd, Completion* completion) {
  RecvProvided(fd, completion);
  queued_.back().multishot = options_.multishot;
}

void SimRing::RecvProvided(int fd, Completion* completion) { Queue(Kind::kRecv, fd, completion).provided = true; }

void SimRing::Recv(int fd, void* data, size_t size, int flags, Completion* completion) {
  Queue(Kind::kRecv, fd, completion).vectors = {{data, size}};
}

void SimRing::RecvMsg(int fd, msghdr* message, int flags, Completion* completion) {
  Queue(Kind::kRecv, fd, completion).vectors.assign(message->msg_iov, message->msg_iov + message->msg_iovlen);
  message->msg_controllen = 0;
  message->msg_flags = 0;
}

void SimRing::Send(int fd, const void* data, size_t size, int flags, Completion* completion) {
  Op& op = Queue(Kind::kSend, fd, completion);
  op.vectors = {{const_cast<void*>(data), size}};
  op.all = (flags & MSG_WAITALL) != 0;
}

void SimRing::SendMsg(int fd, const msghdr* message, int flags, Completion* completion) {
  Op& op = Queue(Kind::kSend, fd, completion);
  op.vectors.assign(message->msg_iov, message->msg_iov + message->msg_iovlen);
  op.all = (flags & MSG_WAITALL) != 0;
}

void SimRing::SendAtOnce(int fd, const void* data, size_t size, Completion* completion) {
  Send(fd, data, size, 0, completion);
  queued_.back().at_once = true;
}

void SimRing::Read(int fd, void* data, size_t size, int64_t offset, Completion* completion) {
  Recv(fd, data, size, 0, completion);
  queued_.back().offset = offset;
}

void SimRing::Write(int fd, const void* data, size_t size, int64_t offset, Completion* completion) {
  Send(fd, data, size, 0, completion);
  queued_.back().offset = offset;
}

void SimRing::ReadV(int fd, const iovec* parts, int count, int64_t offset, int flags, Completion* completion) {
  Op& op = Queue(Kind::kRecv, fd, completion);
  op.vectors.assign(parts, parts + count);
  op.offset = offset;
}

void SimRing::WriteV(int fd, const iovec* parts, int count, int64_t offset, int flags, Completion* completion) {
  Op& op = Queue(Kind::kSend, fd, completion);
  op.vectors.assign(parts, parts + count);
  op.offset = offset;
}

void SimRing::Fsync(int fd, bool data_only, Completion* completion) { Queue(Kind::kFsync, fd, completion); }

void SimRing::OpenAt(int directory, const char* path, int flags, mode_t mode, Completion* completion) {
  Queue(Kind::kOpen, directory, completion).path = path;
}

void SimRing::Splice(int fd_in, int64_t offset_in, int fd_out, int64_t offset_out, size_t size, unsigned flags,
                     Completion* completion) {
  Op& op = Queue(Kind::kSplice, fd_in, completion);
  op.fd_out = fd_out;
  op.offset = offset_in;
  op.vectors = {{nullptr, size}};
}

void SimRing::PollAdd(int fd, uint32_t events, Completion* completion) {
  Queue(Kind::kPoll, fd, completion).argument = events;
}

void SimRing::Connect(int fd, const sockaddr* address, socklen_t size, Completion* completion) {
  Queue(Kind::kConnect, fd, completion).argument = ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port);
}

void SimRing::Shutdown(int fd, int how, Completion* completion) {
  Queue(Kind::kShutdown, fd, completion).argument = static_cast<uint32_t>(how);
}

void SimRing::Close(int fd) { Queue(Kind::kClose, fd, nullptr); }

void SimRing::Cancel(Completion* completion) { Queue(Kind::kCancel, -1, completion); }

char* SimRing::BufferOf(uint32_t flags) { return &buffers_[(flags >> kBufferShift) * options_.buffer_size_bytes]; }

void SimRing::ReturnBuffer(uint32_t flags) {
  const uint16_t index = static_cast<uint16_t>(flags >> kBufferShift);
  GREENRING_CHECK(std::find(free_buffers_.begin(), free_buffers_.end(), index) == free_buffers_.end());
  free_buffers_.push_back(index);
}

// ---- the kernel ----------------------------------------------------------------------------------------------------

void SimRing::Post(Op* op, int32_t result, uint32_t flags) {
  const bool everything = op->at_once && result == static_cast<int32_t>(TotalBytes(op->vectors));
  (everything ? inferred_ : posted_).push_back({op->completion, result, flags});
  if (!(flags & kMore)) op->over = true;
}

int SimRing::TakeFailure(Kind kind) {
  const auto found =
      std::find_if(failures_.begin(), failures_.end(), [kind](auto& entry) { return entry.first == kind; });
  if (found == failures_.end()) return 0;
  const int error_number = found->second;
  failures_.erase(found);
  return error_number;
}

void SimRing::Submit() {
  std::vector<Op> submitted;
  submitted.swap(queued_);
  for (Op& op : submitted) {
    if (op.kind == Kind::kCancel) {
      CancelPending(op.completion);
      continue;
    }
    if (op.kind == Kind::kClose) {
      files_.erase(op.fd);
      continue;
    }
    op.file = FileOf(op.fd);
    op.file_out = FileOf(op.fd_out);
    if (const int error_number = TakeFailure(op.kind)) {
      Post(&op, -error_number);
    } else if ((op.file == nullptr && op.kind != Kind::kOpen) || (op.fd_out >= 0 && op.file_out == nullptr)) {
      Post(&op, -EBADF);
    } else if (op.at_once || !CoinFlip()) {
      Step(&op);
      if (op.at_once && !op.over) Post(&op, op.done_bytes > 0 ? static_cast<int32_t>(op.done_bytes) : -EAGAIN);
    }
    if (!op.over) pending_.push_back(op);
  }
}

bool SimRing::RunPending() {
  if (options_.seed != 0) std::shuffle(pending_.begin(), pending_.end(), random_);
  bool progress = false;
  for (Op& op : pending_) progress |= Step(&op);
  std::erase_if(pending_, [](const Op& op) { return op.over; });
  return progress;
}

void SimRing::CancelPending(Completion* completion) {
  for (Op& op : pending_) {
    if (op.completion != completion) continue;
    // What came first counts: the operation may have been about to complete.
    if (CoinFlip()) Step(&op);
    if (!op.over) Post(&op, op.done_bytes > 0 ? static_cast<int32_t>(op.done_bytes) : -ECANCELED);
  }
  std::erase_if(pending_, [](const Op& op) { return op.over; });
}

// Each Step does what the operation can do now and returns whether that was anything.
bool SimRing::Step(Op* op) {
  switch (op->kind) {
    case Kind::kAccept:
      return StepAccept(op);
    case Kind::kRecv:
      return StepRecv(op);
    case Kind::kSend:
      return StepSend(op);
    case Kind::kSplice:
      return StepSplice(op);
    case Kind::kPoll:
      return StepPoll(op);
    case Kind::kConnect:
      StepConnect(op);
      return true;
    case Kind::kShutdown:
      if (op->argument != SHUT_RD) op->file->out->ended = true;
      if (op->argument != SHUT_WR) op->file->in->ended = true;
      Post(op, 0);
      return true;
    case Kind::kOpen:
      StepOpen(op);
      return true;
    case Kind::kFsync:
      Post(op, op->file->is_file ? 0 : -EINVAL);
      return true;
    case Kind::kClose:
    case Kind::kCancel:
      break;
  }
  return false;
}

bool SimRing::StepAccept(Op* op) {
  bool progress = false;
  while (!op->over && !op->file->accept_queue.empty()) {
    const int fd = Install(op->file->accept_queue.front());
    op->file->accept_queue.pop_front();
    Post(op, fd, op->multishot ? kMore : 0);
    progress = true;
  }
  return progress;
}

bool SimRing::StepRecv(Op* op) {
  bool progress = false;
  for (; !op->over; progress = true) {
    std::string& bytes = op->file->is_file ? op->file->content : op->file->in->bytes;
    const size_t offset = op->file->is_file ? std::min(static_cast<size_t>(op->offset), bytes.size()) : 0;
    if (bytes.size() == offset) {
      const bool ended = op->file->is_file || op->file->in->ended;
      if (!ended && !op->file->in->reset) break;
      Post(op, ended ? 0 : -ECONNRESET);
      continue;
    }
    size_t room = options_.buffer_size_bytes;
    uint32_t flags = op->multishot ? kMore : 0;
    std::vector<iovec> target = op->vectors;
    if (op->provided) {
      if (free_buffers_.empty()) {
        Post(op, -ENOBUFS);
        continue;
      }
      flags |= kBuffer | static_cast<uint32_t>(free_buffers_.front()) << kBufferShift;
      target = {{BufferOf(flags), room}};
      free_buffers_.pop_front();
    } else {
      room = TotalBytes(target);
    }
    const size_t size = std::min(room, bytes.size() - offset);
    Scatter(std::string_view(bytes).substr(offset, size), target);
    if (!op->file->is_file) bytes.erase(0, size);
    Post(op, static_cast<int32_t>(size), flags);
  }
  return progress;
}

bool SimRing::StepWrite(Op* op) {
  const size_t offset = static_cast<size_t>(op->offset), size = TotalBytes(op->vectors);
  std::string& bytes = op->file->content;
  if (bytes.size() < offset + size) bytes.resize(offset + size);
  bytes.replace(offset, size, Slice(op->vectors, 0, size));
  Post(op, static_cast<int32_t>(size));
  return true;
}

void SimRing::StepOpen(Op* op) {
  for (const auto& [fd, file] : files_) {
    if (op->path == PathOf(fd)) return Post(op, Install(file));
  }
  Post(op, -ENOENT);
}

bool SimRing::StepSend(Op* op) {
  if (op->file->is_file) return StepWrite(op);
  Channel& out = *op->file->out;
  if (out.reset || out.ended || out.closed) {
    Post(op, out.reset ? -ECONNRESET : -EPIPE);
    return true;
  }
  const size_t left = TotalBytes(op->vectors) - op->done_bytes;
  const size_t size = std::min({left, send_limit_bytes_, out.capacity_bytes - out.bytes.size()});
  if (size == 0 && left > 0) return false;
  out.bytes += Slice(op->vectors, op->done_bytes, size);
  op->done_bytes += size;
  if (size == left || (!op->all && !op->at_once)) Post(op, static_cast<int32_t>(op->done_bytes));
  return true;
}

bool SimRing::StepSplice(Op* op) {
  const bool from_file = op->file->is_file;
  std::string& bytes = from_file ? op->file->content : op->file->in->bytes;
  const size_t offset = from_file ? std::min(static_cast<size_t>(op->offset), bytes.size()) : 0;
  Channel& out = *op->file_out->out;
  if (bytes.size() == offset) {
    if (!from_file && !op->file->in->ended) return false;
    Post(op, 0);
    return true;
  }
  const size_t size = std::min({bytes.size() - offset, op->vectors[0].iov_len, out.capacity_bytes - out.bytes.size()});
  if (size == 0) return false;
  out.bytes.append(bytes, offset, size);
  if (!from_file) bytes.erase(0, size);
  Post(op, static_cast<int32_t>(size));
  return true;
}

bool SimRing::StepPoll(Op* op) {
  const FileState& file = *op->file;
  uint32_t ready = 0;
  if (file.in != nullptr && (!file.in->bytes.empty() || file.in->ended)) ready |= POLLIN;
  if (file.out != nullptr && file.out->bytes.size() < file.out->capacity_bytes) ready |= POLLOUT;
  if (file.listens && !file.accept_queue.empty()) ready |= POLLIN;
  if (file.out != nullptr && file.out->closed) ready |= POLLHUP;
  ready &= op->argument | POLLHUP | POLLERR;
  if (ready == 0) return false;
  Post(op, static_cast<int32_t>(ready));
  return true;
}

void SimRing::StepConnect(Op* op) {
  const FilePtr listener = listeners_[static_cast<uint16_t>(op->argument)].lock();
  if (listener == nullptr) return Post(op, -ECONNREFUSED);
  auto [server, client] = Connected();
  listener->accept_queue.push_back(server);
  op->file->in = std::exchange(client->in, nullptr);
  op->file->out = std::exchange(client->out, nullptr);
  Post(op, 0);
}

void SimRing::SubmitAndWait(unsigned wait_count, int64_t deadline_ns) {
  ++system_calls_;
  const bool inferred_overdue = !inferred_.empty();
  Submit();
  while (RunPending()) {
  }
  std::unique_lock<std::mutex> lock(wake_mutex_);
  if (posted_.size() < wait_count && deadline_ns != 0 && !woken_ && !inferred_overdue) {
    if (deadline_ns != kNeverNs) {
      clock_->AdvanceTo(deadline_ns);
    } else {
      wake_condition_.wait(lock, [this] { return woken_; });
    }
  }
  if (wait_count > 0) woken_ = false;
}

size_t SimRing::Reap() {
  std::vector<Posted> batch;
  batch.swap(posted_);
  if (batch.size() > kReapMax) {
    posted_.assign(batch.begin() + kReapMax, batch.end());
    batch.resize(kReapMax);
  }
  batch.insert(batch.end(), inferred_.begin(), inferred_.end());
  inferred_.clear();
  for (const Posted& posted : batch) {
    if (!(posted.flags & kMore)) --in_flight_;
    posted.completion->OnComplete(posted.result, posted.flags);
  }
  return batch.size();
}

void SimRing::Wake() {
  std::lock_guard<std::mutex> lock(wake_mutex_);
  woken_ = true;
  wake_condition_.notify_one();
}

}  // namespace greenring::testing
