#include "worker/master_start.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/descriptor_message.h"
#include "base/errno_status.h"
#include "worker/descriptors.h"

namespace greenring::worker {
namespace {

constexpr size_t kReceiveBytes = 16 * 1024;

// Some bytes of the stream, and the descriptors that come with them. OUT_OF_RANGE at its end.
absl::Status Receive(MasterStart* begin) {
  char bytes[kReceiveBytes];
  DescriptorMessage message(bytes, sizeof(bytes));
  const ssize_t received = recvmsg(begin->link.get(), message.header(), MSG_CMSG_CLOEXEC);
  if (received < 0) return errno == EINTR ? absl::OkStatus() : ErrnoToStatus(errno, "read from the master");
  message.Take(&begin->descriptors);
  if (received == 0) return absl::OutOfRangeError("the master is gone: it has closed the link before it said Start");
  if (message.lost_descriptors()) {
    return absl::ResourceExhaustedError(
        "the sockets could not be taken over: too many, or a limit of open files (ulimit -n) is too low");
  }
  begin->decoder.Append({bytes, static_cast<size_t>(received)});
  return absl::OkStatus();
}

}  // namespace

absl::Status DieWithMaster(int link_fd) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return ErrnoToStatus(errno, "prctl(PR_SET_PDEATHSIG)");
  ucred master = {};
  socklen_t size = sizeof(master);
  if (getsockopt(link_fd, SOL_SOCKET, SO_PEERCRED, &master, &size) != 0) {
    return ErrnoToStatus(errno, "--worker is for the server's own use: ask for its master", link_fd);
  }
  // It may have died before the kernel was asked.
  if (getppid() != master.pid) return absl::UnavailableError("the master is gone");
  return absl::OkStatus();
}

absl::StatusOr<MasterStart> ReceiveStart(UniqueFd link) {
  MasterStart begin;
  begin.link = std::move(link);
  std::string_view payload;
  protocol::FrameDecoder::Result result;
  while ((result = begin.decoder.Next(&payload)) == protocol::FrameDecoder::Result::kMore) {
    if (absl::Status status = Receive(&begin); !status.ok()) return status;
  }
  v1::ToWorker message;
  if (result != protocol::FrameDecoder::Result::kFrame ||
      !message.ParseFromArray(payload.data(), static_cast<int>(payload.size())) || !message.has_start()) {
    return absl::InvalidArgumentError("the master's first message is no Start");
  }
  begin.start = std::move(*message.mutable_start());
  const size_t sockets = static_cast<size_t>(begin.start.sockets_size());
  const size_t others = DescriptorsOf(begin.start.routes());
  const size_t sent = begin.descriptors.size();
  // More may have come only with what stands behind Start.
  if (sent < sockets + others || (sent > sockets + others && begin.decoder.at_boundary())) {
    return absl::InvalidArgumentError(absl::StrCat("the master has named ", sockets, " listening sockets and ", others,
                                                   " of other pools, and sent ", sent));
  }
  begin.sockets = TakeFirst(&begin.descriptors, sockets);
  begin.route_sockets = TakeFirst(&begin.descriptors, others);
  return begin;
}

void SendStartFailed(int link_fd, std::string_view message, bool configuration) {
  if (message.size() > kStartFailedBytesMax) message.remove_prefix(message.size() - kStartFailedBytesMax);
  v1::FromWorker failed;
  failed.mutable_start_failed()->set_message(std::string(message));
  failed.mutable_start_failed()->set_configuration(configuration);
  std::string frame;
  protocol::AppendFrame(&frame, [&failed](std::string* out) { return failed.AppendToString(out); });
  for (std::string_view rest = frame; !rest.empty();) {
    const ssize_t sent = send(link_fd, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      rest.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      pollfd writable = {.fd = link_fd, .events = POLLOUT, .revents = 0};
      if (poll(&writable, 1, kStartFailedPatienceMs) <= 0) return;
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace greenring::worker
