// What waits to be sent to a worker: frames (protocol/frame.h), and descriptors that travel with some of them.
//
//   LinkQueue queue;
//   if (!queue.Append(message, descriptors)) ...                     // longer than a frame may be
//   switch (int error = queue.SendTo(fd)) ...                        // 0: everything was sent
//
// Not thread-safe; never blocks.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "control/worker_handle.h"
#include "greenring/worker/v1/link.pb.h"

namespace greenring::control {

class LinkQueue {
 public:
  // `borrowed`, and behind them `descriptors`, go with the first byte of `message`: at most
  // DescriptorMessage::kDescriptorsMax (checked). The borrowed ones must be open until then. False, with nothing done,
  // when the message is too long.
  bool Append(const worker::v1::ToWorker& message, const std::vector<SharedFd>& descriptors = {},
              const std::vector<int>& borrowed = {});

  // As much as the socket takes: 0 when nothing is left, else errno of the send that it did not take.
  int SendTo(int fd);

  void Clear();

  size_t size_bytes() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

 private:
  struct Attachment {
    size_t offset;  // in bytes_, of the byte that it goes with
    std::vector<int> numbers;
    std::vector<SharedFd> kept;  // open
  };

  // One send, up to the next byte that has descriptors of its own.
  bool SendSome(int fd);

  std::string bytes_;
  std::deque<Attachment> attachments_;
};

}  // namespace greenring::control
