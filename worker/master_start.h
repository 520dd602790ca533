// How a worker that a master has started begins: before its loop runs, and before anything else is opened.
//
//   if (absl::Status status = DieWithMaster(link_fd); !status.ok()) ...
//   absl::StatusOr<MasterStart> begin = ReceiveStart(UniqueFd(link_fd));
//   ...
//   SendStartFailed(begin->link.get(), "cannot load the application ...", /*configuration=*/false);
//
// Main thread only. Blocks the OS thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "greenring/worker/v1/link.pb.h"
#include "protocol/frame.h"

namespace greenring::worker {

// The descriptor that a worker finds its end of the link at.
inline constexpr int kLinkFd = 3;

struct MasterStart {
  UniqueFd link;
  protocol::FrameDecoder decoder;  // what has come behind the message
  v1::ToWorker::Start start;
  // Descriptors are close-on-exec; how many there are is checked.
  std::vector<UniqueFd> sockets;        // one for each of start.sockets()
  std::vector<UniqueFd> route_sockets;  // those of start.routes()
  std::vector<UniqueFd> descriptors;    // of messages that have come behind
};

// Asks the kernel to kill this process when its master (whoever made the socketpair) dies; an error when that has
// happened already. A change of the user takes the request back: once more after it.
absl::Status DieWithMaster(int link_fd);

// Waits for the first message. The error says what came instead.
absl::StatusOr<MasterStart> ReceiveStart(UniqueFd link);

// Tells the master why this worker will not serve; gives up when it does not listen for kStartFailedPatienceMs.
// `configuration`: trying again does not help.
void SendStartFailed(int link_fd, std::string_view message, bool configuration);

inline constexpr int kStartFailedPatienceMs = 5000;

// Of a message that is longer its end is sent: that is where a traceback says what happened.
inline constexpr size_t kStartFailedBytesMax = 64 * 1024;

}  // namespace greenring::worker
