// What a worker writes to its stderr, copied to the server's own and remembered.
//
//   UniqueFd write_end;
//   absl::StatusOr<std::shared_ptr<StderrRelay>> relay = StderrRelay::Open(context, sink, &write_end);
//   ... the worker gets `write_end` ...
//   (*relay)->ReadNow();                       // it has died
//   (*relay)->tail();                          // its last words
//
// A pipe is between them: what was written before a death is read after it. It is read until everybody who has its
// other end is gone (a program that the worker has started may outlive it), also when nobody holds the relay any more.
//
// Nobody waits: the server's stderr is only written to when it takes something, and what it does not take is lost once
// kPendingBytesMax wait for it (how much, is told when it takes something again). So a worker is held up only while the
// server's loop itself does not turn, and only when it has filled the pipe by then. Whole lines are copied together:
// those of two workers do not mix, but where one is longer than kLineBytesMax.
//
// On the reactor's thread only; nothing blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace greenring::control {

// Where lines go to: one for all relays of a server.
class LineSink {
 public:
  // `fd` stays the caller's, and is not made non-blocking: others write to it too.
  explicit LineSink(int fd) : fd_(fd) {}
  LineSink(const LineSink&) = delete;
  LineSink& operator=(const LineSink&) = delete;

  // As much as it takes now, behind what has been waiting.
  void Write(std::string_view lines);

  static constexpr size_t kPendingBytesMax = 256 * 1024;

 private:
  void Flush();

  const int fd_;
  std::string pending_;
  size_t lost_bytes_ = 0;
};

class StderrRelay final : public std::enable_shared_from_this<StderrRelay> {
 public:
  static absl::StatusOr<std::shared_ptr<StderrRelay>> Open(boost::asio::io_context* context,
                                                           std::shared_ptr<LineSink> sink, UniqueFd* write_end);

  // What is in the pipe now, and an unfinished last line too.
  void ReadNow();

  // The last lines, at most kTailBytes.
  std::string tail() const;

  static constexpr size_t kTailBytes = 8 * 1024;
  static constexpr size_t kLineBytesMax = 8 * 1024;

  // Asked of the kernel for the pipe (it may give less: /proc/sys/fs/pipe-user-pages-soft).
  static constexpr int kPipeBytes = 1 << 20;

 private:
  StderrRelay(boost::asio::io_context* context, std::shared_ptr<LineSink> sink, UniqueFd read_end)
      : pipe_(*context, read_end.Release()), sink_(std::move(sink)) {}

  void Wait();
  // False: there will be no more.
  bool Read();
  void Take(std::string_view text);

  boost::asio::posix::stream_descriptor pipe_;
  const std::shared_ptr<LineSink> sink_;
  std::string line_;  // begun, and not copied yet
  std::string tail_;  // up to twice as long as told
};

}  // namespace greenring::control
