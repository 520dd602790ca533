#include "control/worker_process.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/descriptor_message.h"
#include "base/errno_status.h"
#include "control/link_queue.h"
#include "control/stderr_relay.h"
#include "control/worker_end.h"
#include "control/worker_spawn.h"
#include "protocol/frame.h"

namespace greenring::control {
namespace {

using boost::asio::posix::stream_descriptor;
using worker::v1::FromWorker;
using worker::v1::ToWorker;
using Done = std::function<void(absl::StatusOr<FromWorker>)>;

constexpr size_t kReceiveBytes = 16 * 1024;

constexpr auto kRetry = std::chrono::milliseconds(20);
constexpr char kTooLong[] = "the message is too long for a worker";

// "pools/web/workers/2" as ps(1) shows it: "greenring: web, worker 2".
std::string TitleOf(const std::string& worker) {
  const std::vector<std::string> parts = absl::StrSplit(worker, '/');
  return parts.size() == 4 ? absl::StrCat("greenring: ", parts[1], ", worker ", parts[3]) : "greenring: worker";
}

// One process, until it has been waited for: it outlives a handle that is deleted.
class Process : public std::enable_shared_from_this<Process> {
 public:
  Process(boost::asio::io_context* context, SpawnedWorker spawned, std::shared_ptr<StderrRelay> stderr_relay,
          WorkerHandle::Observer* observer)
      : context_(context),
        pid_(spawned.pid),
        pidfd_(*context, spawned.pidfd.Release()),
        link_(*context, spawned.link.Release()),
        stderr_relay_(std::move(stderr_relay)),
        observer_(observer) {
    link_.non_blocking(true);
  }

  pid_t pid() const { return pid_; }

  // The first message, with its descriptors; then listens.
  absl::Status Begin(const WorkerStart& start);

  void Ask(ToWorker message, int64_t timeout_ns, Done done);
  void Tell(const ToWorker& message, const std::vector<SharedFd>& descriptors);
  void Kill() {
    if (!ended_) kill(pid_, SIGKILL);
  }
  void Abandon() {
    observer_ = nullptr;
    questions_.clear();
    Kill();
  }

 private:
  struct Question {
    Done done;
    std::unique_ptr<boost::asio::steady_timer> timer;
  };

  void WatchEnd();
  void WatchInput();
  void Write();
  void WriteLater(int error);
  // False: nothing more will come.
  bool ReadAll();
  bool TakeMessages();
  void Dispatch(const FromWorker& message);
  void Answer(int64_t id, absl::StatusOr<FromWorker> answer);
  void OnEnd();

  boost::asio::io_context* const context_;
  const pid_t pid_;
  stream_descriptor pidfd_;
  stream_descriptor link_;  // a socket; of asio only the readiness is asked
  const std::shared_ptr<StderrRelay> stderr_relay_;
  WorkerHandle::Observer* observer_;  // null: nobody wants to know any more

  protocol::FrameDecoder decoder_;
  LinkQueue queue_;
  boost::asio::steady_timer retry_{*context_};
  bool writing_ = false;
  std::map<int64_t, Question> questions_;
  int64_t last_id_ = 0;
  std::string why_;  // it ends, in its own words
  bool ended_ = false;
};

absl::Status Process::Begin(const WorkerStart& start) {
  if (start.sockets.size() + start.routes.size() > DescriptorMessage::kDescriptorsMax) {
    return absl::InvalidArgumentError(absl::StrCat("a worker can have ", DescriptorMessage::kDescriptorsMax,
                                                   " listeners and pools beside it on their addresses at most"));
  }
  ToWorker message;
  *message.mutable_start() = start.start;
  if (!queue_.Append(message, start.routes, start.sockets)) return absl::InvalidArgumentError(kTooLong);
  const size_t before = queue_.size_bytes();
  const int error = queue_.SendTo(link_.native_handle());
  // What was sent has the sockets. A worker that has died already (EPIPE) tells why by its end.
  if (queue_.size_bytes() == before && error != EPIPE)
    return ErrnoToStatus(error, "send a worker its listening sockets");
  if (error != 0 && error != EAGAIN) queue_.Clear();
  WatchEnd();
  WatchInput();
  Write();
  return absl::OkStatus();
}

// ---- to the worker -------------------------------------------------------------------------------------------------

void Process::Ask(ToWorker message, int64_t timeout_ns, Done done) {
  const int64_t id = ++last_id_;
  message.set_id(id);
  Question& question = questions_[id];
  question.done = std::move(done);
  absl::Status status;
  if (ended_) {
    status = absl::UnavailableError("the worker has ended");
  } else if (queue_.size_bytes() > kWorkerBacklogBytesMax) {
    status = absl::UnavailableError("the worker does not read what it is asked: its loop does not turn");
  } else if (!queue_.Append(message)) {
    status = absl::InvalidArgumentError(kTooLong);
  }
  question.timer = std::make_unique<boost::asio::steady_timer>(*context_);
  question.timer->expires_after(std::chrono::nanoseconds(status.ok() ? timeout_ns : 0));
  if (status.ok()) status = absl::DeadlineExceededError("the worker has not answered in time");
  question.timer->async_wait([self = shared_from_this(), id, status](const boost::system::error_code& error) {
    if (!error) self->Answer(id, status);
  });
  Write();
}

void Process::Tell(const ToWorker& message, const std::vector<SharedFd>& descriptors) {
  if (ended_ || !queue_.Append(message, descriptors)) return;
  Write();
}

void Process::Write() {
  if (writing_ || ended_) return;
  const int error = queue_.SendTo(link_.native_handle());
  if (error == 0) return;
  if (error == EAGAIN || error == ETOOMANYREFS || error == ENOBUFS || error == ENOMEM) return WriteLater(error);
  queue_.Clear();  // it is ending
}

// Not always when the link has room: of descriptors a user may have as many on their way as one process may have open
// (ETOOMANYREFS), and the kernel does not say when there are fewer.
void Process::WriteLater(int error) {
  writing_ = true;
  const auto write = [self = shared_from_this()](const boost::system::error_code& failure) {
    self->writing_ = false;
    if (!failure) self->Write();
  };
  if (error == EAGAIN) return link_.async_wait(stream_descriptor::wait_write, write);
  retry_.expires_after(kRetry);
  retry_.async_wait(write);
}

// ---- from the worker -----------------------------------------------------------------------------------------------

void Process::WatchInput() {
  link_.async_wait(stream_descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    if (!error && !self->ended_ && self->ReadAll()) self->WatchInput();
  });
}

bool Process::ReadAll() {
  char buffer[kReceiveBytes];
  for (;;) {
    const ssize_t size = recv(link_.native_handle(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return true;
    if (size <= 0) return false;
    decoder_.Append({buffer, static_cast<size_t>(size)});
    if (TakeMessages()) continue;
    why_ = "it has sent its master what is no message";
    Kill();
    return false;
  }
}

bool Process::TakeMessages() {
  std::string_view payload;
  protocol::FrameDecoder::Result result;
  while ((result = decoder_.Next(&payload)) == protocol::FrameDecoder::Result::kFrame) {
    FromWorker message;
    if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return false;
    Dispatch(message);
  }
  return result == protocol::FrameDecoder::Result::kMore;
}

void Process::Dispatch(const FromWorker& message) {
  if (message.answer_to() != 0) return Answer(message.answer_to(), message);
  if (message.has_unfit()) why_ = message.unfit().reason();
  if (observer_ == nullptr) return;
  switch (message.what_case()) {
    case FromWorker::kReady:
      return observer_->OnReady(message.ready());
    case FromWorker::kStartFailed:
      return observer_->OnStartFailed(message.start_failed());
    case FromWorker::kObserved:
      return observer_->OnObserved(message.observed());
    case FromWorker::kReport:
      return observer_->OnReport(message.report());
    case FromWorker::kUnfit:
      return observer_->OnUnfit(message.unfit());
    case FromWorker::kDraining:
      return observer_->OnDraining(message.draining());
    case FromWorker::kUwsgiCall:
      return observer_->OnUwsgiCall(message.id(), message.uwsgi_call());
    default:
      return;  // an answer to nothing
  }
}

void Process::Answer(int64_t id, absl::StatusOr<FromWorker> answer) {
  const auto question = questions_.find(id);
  if (question == questions_.end()) return;  // it came too late
  const Done done = std::move(question->second.done);
  questions_.erase(question);
  if (done) done(std::move(answer));
}

// ---- the end -------------------------------------------------------------------------------------------------------

void Process::WatchEnd() {
  pidfd_.async_wait(stream_descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->OnEnd();
  });
}

void Process::OnEnd() {
  int wait_status = 0;
  const pid_t waited = waitpid(pid_, &wait_status, WNOHANG);
  // Readiness can be another descriptor's: asio uses what it knew of a closed one again, with events not yet looked at.
  if (waited == 0) return WatchEnd();
  const bool known = waited == pid_;
  ended_ = true;
  ReadAll();  // its last words
  stderr_relay_->ReadNow();
  while (!questions_.empty()) Answer(questions_.begin()->first, absl::UnavailableError("the worker has ended"));
  link_.close();
  pidfd_.close();
  retry_.cancel();
  if (observer_ == nullptr) return;
  WorkerEnd end;
  end.wait_status = wait_status;
  const bool failed = !known || wait_status != 0;
  end.reason = known ? DescribeEnd(wait_status, failed ? why_ : "") : "unknown: somebody else has waited for it";
  if (failed) end.last_stderr = stderr_relay_->tail();
  std::exchange(observer_, nullptr)->OnEnded(end);
}

// ---- handle and factory --------------------------------------------------------------------------------------------

class WorkerProcess final : public WorkerHandle {
 public:
  explicit WorkerProcess(std::shared_ptr<Process> process) : process_(std::move(process)) {}
  ~WorkerProcess() override { process_->Abandon(); }

  int pid() const override { return process_->pid(); }
  void Ask(ToWorker message, int64_t timeout_ns, Done done) override {
    process_->Ask(std::move(message), timeout_ns, std::move(done));
  }
  void Tell(ToWorker message, std::vector<SharedFd> descriptors) override { process_->Tell(message, descriptors); }
  void Kill() override { process_->Kill(); }

 private:
  const std::shared_ptr<Process> process_;
};

class ProcessFactory final : public WorkerFactory {
 public:
  ProcessFactory(boost::asio::io_context* context, const WorkerFactoryOptions& options)
      : context_(context), options_(options), sink_(std::make_shared<LineSink>(options.stderr_fd)) {
    signal(SIGCHLD, SIG_DFL);
  }

  absl::StatusOr<std::unique_ptr<WorkerHandle>> Start(const WorkerStart& start,
                                                      WorkerHandle::Observer* observer) override {
    WorkerCommand command = {.executable = options_.executable,
                             .arguments = {TitleOf(start.start.worker())},
                             .environment = {},
                             .cpus = start.cpus};
    command.arguments.insert(command.arguments.end(), options_.arguments.begin(), options_.arguments.end());
    const auto& environment = start.start.pool().application().environment();
    command.environment.assign(environment.begin(), environment.end());

    UniqueFd stderr_fd;
    absl::StatusOr<std::shared_ptr<StderrRelay>> relay = StderrRelay::Open(context_, sink_, &stderr_fd);
    if (!relay.ok()) return relay.status();
    absl::StatusOr<SpawnedWorker> spawned = SpawnWorker(command, stderr_fd.get());
    if (!spawned.ok()) return spawned.status();
    const auto process = std::make_shared<Process>(context_, *std::move(spawned), *std::move(relay), observer);
    if (absl::Status begun = process->Begin(start); !begun.ok()) {
      process->Abandon();
      waitpid(process->pid(), nullptr, 0);
      return begun;
    }
    return std::make_unique<WorkerProcess>(process);
  }

 private:
  boost::asio::io_context* const context_;
  const WorkerFactoryOptions options_;
  const std::shared_ptr<LineSink> sink_;  // relays outlive the factory
};

}  // namespace

std::unique_ptr<WorkerFactory> MakeWorkerFactory(boost::asio::io_context* context,
                                                 const WorkerFactoryOptions& options) {
  return std::make_unique<ProcessFactory>(context, options);
}

}  // namespace greenring::control
