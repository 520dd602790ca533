#include "worker/hand_over.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/descriptor_message.h"
#include "base/errno_status.h"
#include "greenring/worker/v1/hand_over.pb.h"

namespace greenring::worker {
namespace {

// With the address, which is a unix socket's path at most.
constexpr size_t kDatagramBytesMax = kInlineBytesMax + 4 * 1024;

absl::StatusOr<UniqueFd> FileOf(std::string_view bytes) {
  UniqueFd file(memfd_create("greenring: received", MFD_CLOEXEC));
  if (!file.valid()) return ErrnoToStatus(errno, "memfd_create");
  while (!bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return ErrnoToStatus(errno, "write to a file in memory");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return file;
}

absl::StatusOr<std::string> ContentOf(int file) {
  struct stat what;
  if (fstat(file, &what) != 0) return ErrnoToStatus(errno, "fstat");
  if (!S_ISREG(what.st_mode) || what.st_size < 0 || static_cast<size_t>(what.st_size) > kHandedBytesMax) {
    return absl::InvalidArgumentError("what it has received is no file, or too long");
  }
  std::string content(static_cast<size_t>(what.st_size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = pread(file, content.data() + done, content.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return absl::InvalidArgumentError("the file of what it has received ends early");
    done += static_cast<size_t>(got);
  }
  return content;
}

absl::Status Send(int inbox, std::string_view payload, const std::vector<int>& descriptors) {
  DescriptorMessage message(payload, descriptors);
  while (sendmsg(inbox, message.header(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS) {
      return absl::ResourceExhaustedError("its workers do not take connections as fast as they come");
    }
    if (errno == EPIPE || errno == ECONNRESET) return absl::UnavailableError("it takes no more connections");
    return ErrnoToStatus(errno, "sendmsg", inbox);
  }
  return absl::OkStatus();
}

// What the datagram says, with its descriptors.
absl::StatusOr<HandedConnection> Decode(std::string_view payload, std::vector<UniqueFd> descriptors) {
  v1::HandedConnection message;
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return absl::InvalidArgumentError("its bytes are no message");
  }
  const size_t expected = message.received_in_file() ? 2 : 1;
  if (descriptors.size() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", descriptors.size(), " descriptors instead of ", expected));
  }
  HandedConnection connection{.address = std::move(*message.mutable_address()),
                              .received = std::move(*message.mutable_received()),
                              .fd = std::move(descriptors[0])};
  if (message.received_in_file()) {
    absl::StatusOr<std::string> content = ContentOf(descriptors[1].get());
    if (!content.ok()) return absl::InvalidArgumentError(content.status().message());
    connection.received = *std::move(content);
  }
  return connection;
}

}  // namespace

absl::Status SendConnection(int inbox, const HandedConnection& connection) {
  v1::HandedConnection message;
  message.set_address(connection.address);
  std::vector<int> descriptors = {connection.fd.get()};
  UniqueFd file;
  if (connection.received.size() <= kInlineBytesMax) {
    message.set_received(connection.received);
  } else {
    absl::StatusOr<UniqueFd> made = FileOf(connection.received);
    if (!made.ok()) return made.status();
    file = *std::move(made);
    message.set_received_in_file(true);
    descriptors.push_back(file.get());
  }
  return Send(inbox, message.SerializeAsString(), descriptors);
}

absl::StatusOr<HandedConnection> ReceiveConnection(int inbox) {
  const std::unique_ptr<char[]> payload(new char[kDatagramBytesMax]);
  DescriptorMessage message(payload.get(), kDatagramBytesMax);
  const ssize_t received = recvmsg(inbox, message.header(), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return absl::UnavailableError("none waits");
  if (received < 0) return ErrnoToStatus(errno, "recvmsg", inbox);
  std::vector<UniqueFd> descriptors;
  message.Take(&descriptors);
  if (message.lost_descriptors()) {
    return absl::ResourceExhaustedError("too many open files: a limit (ulimit -n) is too low");
  }
  if (message.lost_bytes()) return absl::InvalidArgumentError("it is too long");
  if (received == 0 && descriptors.empty()) return absl::OutOfRangeError("nobody can send any more");
  return Decode({payload.get(), static_cast<size_t>(received)}, std::move(descriptors));
}

}  // namespace greenring::worker
