#include "control/stderr_relay.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <utility>

#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class StderrRelayTest : public ::testing::Test {
 protected:
  StderrRelayTest() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    out_.Reset(ends[0]);
    sink_fd_.Reset(ends[1]);
    fcntl(out_.get(), F_SETFL, O_NONBLOCK);
    sink_ = std::make_shared<LineSink>(sink_fd_.get());
    worker_ = Open();
  }

  struct Worker {
    UniqueFd stderr_fd;
    std::shared_ptr<StderrRelay> relay;
  };
  Worker Open() {
    Worker worker;
    worker.relay = StderrRelay::Open(&context_, sink_, &worker.stderr_fd).value();
    return worker;
  }

  // The worker writes, and the reactor turns until nothing is left to do.
  void Write(const Worker& worker, const std::string& text) {
    ASSERT_EQ(write(worker.stderr_fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    Turn();
  }
  void Turn() {
    context_.restart();
    while (context_.poll_one() > 0) {
    }
  }

  // What the server's stderr has been given.
  std::string Copied() {
    std::string text;
    char buffer[65536];
    ssize_t size;
    while ((size = read(out_.get(), buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(size));
    return text;
  }

  boost::asio::io_context context_{1};
  UniqueFd out_, sink_fd_;
  std::shared_ptr<LineSink> sink_;
  Worker worker_;
};

TEST_F(StderrRelayTest, LinesAreCopiedAndRemembered) {
  Write(worker_, "one\ntwo\n");
  EXPECT_EQ(Copied(), "one\ntwo\n");
  EXPECT_EQ(worker_.relay->tail(), "one\ntwo\n");
}

TEST_F(StderrRelayTest, LinesOfTwoWorkersDoNotMix) {
  const Worker other = Open();
  Write(worker_, "one begins");
  Write(other, "two\n");
  Write(worker_, ", and ends\n");
  EXPECT_EQ(Copied(), "two\none begins, and ends\n");
}

TEST_F(StderrRelayTest, ALineThatIsTooLongIsNotHeldBack) {
  const std::string half(StderrRelay::kLineBytesMax / 2 + 1, 'x');
  Write(worker_, half);
  EXPECT_EQ(Copied(), "");
  Write(worker_, half);
  EXPECT_EQ(Copied(), half + half);
}

TEST_F(StderrRelayTest, AtADeathWhatIsInThePipeIsReadAndALineEnded) {
  const std::string text = "last words";
  ASSERT_EQ(write(worker_.stderr_fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  worker_.relay->ReadNow();
  EXPECT_EQ(Copied(), "last words\n");
  EXPECT_EQ(worker_.relay->tail(), "last words");
}

TEST_F(StderrRelayTest, TheTailHasWholeLines) {
  std::string all;
  for (int i = 0; i < 5000; ++i) all += "line " + std::to_string(i) + "\n";
  Write(worker_, all);
  const std::string tail = worker_.relay->tail();
  EXPECT_LE(tail.size(), StderrRelay::kTailBytes);
  EXPECT_GT(tail.size(), StderrRelay::kTailBytes - 20);
  EXPECT_EQ(tail.substr(0, 5), "line ");
  EXPECT_THAT(tail, EndsWith("line 4999\n"));
}

TEST_F(StderrRelayTest, WhoOutlivesTheWorkerIsStillHeard) {
  worker_.relay.reset();
  Write(worker_, "from a child\n");
  EXPECT_EQ(Copied(), "from a child\n");
  worker_.stderr_fd.Reset();
  Turn();
  EXPECT_EQ(context_.stopped(), true) << "something waits for nobody";
}

// The server's stderr is a pipe that nobody reads: no write to it may block, nor one to the worker's.
TEST_F(StderrRelayTest, AServerWhoseStderrIsFullHoldsUpNobodyAndSaysWhatIsLost) {
  const std::string line(1023, 'x');
  for (int i = 0; i < 2000; ++i) Write(worker_, line + "\n");
  std::string copied = Copied();
  EXPECT_GT(copied.size(), 32'000u);
  Write(worker_, "after\n");
  for (int i = 0; i < 20; ++i) {
    copied += Copied();
    Write(worker_, "again\n");
  }
  EXPECT_THAT(copied, HasSubstr(" bytes of the workers' messages are lost: stderr took nothing\n"));
  EXPECT_THAT(copied, HasSubstr("again\n"));
}

TEST_F(StderrRelayTest, AStderrThatIsClosedIsNoError) {
  signal(SIGPIPE, SIG_IGN);
  out_.Reset();
  Write(worker_, "nobody reads this\n");
  Write(worker_, "nor this\n");
  EXPECT_EQ(worker_.relay->tail(), "nobody reads this\nnor this\n");
}

}  // namespace
}  // namespace greenring::control
