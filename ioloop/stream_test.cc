#include "ioloop/stream.h"

#include <errno.h>
#include <malloc.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/io.h"
#include "ioloop/output_block.h"
#include "ioloop/ring_world.h"

namespace greenring::ioloop {
namespace {

class RecordingHandler : public Stream::Handler {
 public:
  void OnData(std::string_view data) override {
    received.append(data);
    if (on_data) on_data(data);
  }
  void OnEnd() override { ++ends; }
  void OnError(int error_number) override { errors.push_back(error_number); }
  void OnFlushed() override { ++flushes; }
  void OnClosed() override { closed = true; }

  std::function<void(std::string_view)> on_data;
  std::string received;
  std::vector<int> errors;
  int ends = 0;
  int flushes = 0;
  bool closed = false;
};

// One connection: the stream, and the peer's descriptor.
struct Connection {
  Connection(EventLoop* loop, RingWorld* world) {
    auto [ours, other] = world->SocketPair();
    peer = other;
    stream.emplace(loop, UniqueFd(ours), &handler);
  }

  RecordingHandler handler;
  std::optional<Stream> stream;
  int peer;
};

class StreamTest : public ::testing::TestWithParam<WorldKind> {
 protected:
  // Runs `body` on a green thread of a fresh loop, and checks that it leaves nothing behind.
  void Run(const std::function<void()>& body, const WorldOptions& options = {}) {
    world_ = GetParam().make(options);
    if (world_ == nullptr) GTEST_SKIP() << "this kernel or sandbox has no io_uring";
    const size_t descriptors = world_->OpenDescriptors();
    scheduler_.emplace(green::SchedulerOptions{.clock = world_->clock()});
    loop_.emplace(world_->ring(), &*scheduler_);
    scheduler_->Spawn([&] {
      body();
      // Operations nobody waits for (closes) go out.
      Turns(2);
      scheduler_->Stop();
    });
    scheduler_->Run(&*loop_);
    EXPECT_EQ(world_->ring()->in_flight(), 0u);
    EXPECT_EQ(loop_->blocks()->taken_count(), 0u);
    EXPECT_EQ(world_->OpenDescriptors(), descriptors);
    loop_.reset();
    scheduler_.reset();
    world_ = nullptr;
  }

  bool simulated() const { return GetParam().name.substr(0, 3) == "Sim"; }

  // On the body's green thread: lets the loop turn until `done`.
  void Until(const std::function<bool()>& done) {
    for (int i = 0; i < 10'000; ++i) {
      if (done()) return;
      Turns(1);
    }
    ADD_FAILURE() << "nothing happens";
  }

  void Turns(int count) {
    for (int i = 0; i < count; ++i) Sleep(&*loop_, world_->clock()->NowNs() + kNanosecondsPerMillisecond);
  }

  // Reads at the peer until `size` bytes have come.
  std::string PeerReads(Connection* connection, size_t size) {
    std::string all;
    Until([&] {
      all += world_->PeerRead(connection->peer);
      return all.size() >= size;
    });
    return all;
  }

  void Finish(Connection* connection, CloseMode mode = CloseMode::kFlush) {
    connection->stream->Close(mode);
    Until([&] { return connection->handler.closed; });
    connection->stream.reset();
    world_->PeerClose(connection->peer);
  }

  std::unique_ptr<RingWorld> world_;
  std::optional<green::Scheduler> scheduler_;
  std::optional<EventLoop> loop_;
};

INSTANTIATE_TEST_SUITE_P(All, StreamTest, ::testing::ValuesIn(AllWorlds()),
                         [](const auto& info) { return info.param.name; });

std::string Pattern(size_t size) {
  std::string data(size, '\0');
  for (size_t i = 0; i < size; ++i) data[i] = static_cast<char>('a' + i * 7 % 26 + i / 4096 % 3);
  return data;
}

// ---- reading -------------------------------------------------------------------------------------------------------

TEST_P(StreamTest, RequestsAreAnsweredOneAfterTheOther) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.handler.on_data = [&](std::string_view data) { c.stream->Append("answer to " + std::string(data)); };
    c.stream->StartReading();
    for (int i = 0; i < 50; ++i) {
      const std::string request = "request " + std::to_string(i);
      world_->PeerWrite(c.peer, request);
      EXPECT_EQ(PeerReads(&c, request.size() + 10), "answer to " + request);
    }
    Finish(&c);
  });
}

TEST_P(StreamTest, NothingIsReadBeforeStartReading) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    world_->PeerWrite(c.peer, "early");
    Turns(5);
    EXPECT_EQ(c.handler.received, "");
    c.stream->StartReading();
    Until([&] { return c.handler.received == "early"; });
    Finish(&c);
  });
}

TEST_P(StreamTest, StopReadingLeavesDataToThePeersSocket) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    for (int round = 0; round < 5; ++round) {
      c.handler.received.clear();
      world_->PeerWrite(c.peer, "before");
      Until([&] { return c.handler.received == "before"; });
      c.stream->StopReading();
      Turns(5);
      world_->PeerWrite(c.peer, "while stopped");
      Turns(5);
      EXPECT_EQ(c.handler.received, "before");
      c.stream->StartReading();
      Until([&] { return c.handler.received == "beforewhile stopped"; });
    }
    Finish(&c);
  });
}

TEST_P(StreamTest, StopAndStartWithinATurnChangeNothing) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    Turns(2);
    c.stream->StopReading();
    c.stream->StartReading();
    world_->PeerWrite(c.peer, "x");
    Until([&] { return c.handler.received == "x"; });
    c.stream->StopReading();
    Turns(1);
    c.stream->StartReading();  // while the cancellation may be in flight
    world_->PeerWrite(c.peer, "y");
    Until([&] { return c.handler.received == "xy"; });
    Finish(&c);
  });
}

TEST_P(StreamTest, OutputGoesOnAfterThePeersEnd) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    world_->PeerWrite(c.peer, "last");
    world_->PeerShutdown(c.peer);
    Until([&] { return c.handler.ends > 0; });
    EXPECT_EQ(c.handler.received, "last");
    c.stream->Append("answer");
    EXPECT_EQ(PeerReads(&c, 6), "answer");
    Turns(5);
    EXPECT_EQ(c.handler.ends, 1);
    Finish(&c);
  });
}

TEST_P(StreamTest, FewerBuffersThanBusyStreamsServeAll) {
  Run(
      [this] {
        std::vector<std::unique_ptr<Connection>> connections;
        for (int i = 0; i < 20; ++i) {
          connections.push_back(std::make_unique<Connection>(&*loop_, world_.get()));
          connections.back()->stream->StartReading();
        }
        Turns(2);
        const std::string data = Pattern(20'000);
        for (auto& c : connections) EXPECT_EQ(world_->PeerWrite(c->peer, data), data.size());
        for (auto& c : connections) {
          Until([&] { return c->handler.received.size() == data.size(); });
          EXPECT_EQ(c->handler.received, data);
          Finish(c.get());
        }
      },
      {.buffers_initial = 1, .buffers_max = 2, .buffer_size_bytes = 1000});
}

// ---- writing -------------------------------------------------------------------------------------------------------

TEST_P(StreamTest, OutputOfATurnLeavesInOneSend) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    const uint64_t before = loop_->stats().completions;
    for (int i = 0; i < 10; ++i) c.stream->Append("part;");
    char* const space = c.stream->Reserve(100);
    space[0] = '!';
    c.stream->Commit(1);
    EXPECT_EQ(c.stream->pending_output_bytes(), 51u);
    EXPECT_TRUE(c.stream->WaitFlushed().ok());
    EXPECT_EQ(loop_->stats().completions - before, 1u);
    EXPECT_EQ(world_->PeerRead(c.peer), "part;part;part;part;part;part;part;part;part;part;!");
    Finish(&c);
  });
}

TEST_P(StreamTest, IdleStreamOwnsNoBlock) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    c.stream->Append("answer");
    EXPECT_EQ(loop_->blocks()->taken_count(), 1u);
    Until([&] { return c.handler.flushes == 1; });
    EXPECT_EQ(loop_->blocks()->taken_count(), 0u);
    c.stream->Reserve(1000);
    c.stream->Commit(0);
    EXPECT_EQ(loop_->blocks()->taken_count(), 0u);
    Finish(&c);
  });
}

TEST_P(StreamTest, MoreThanTheSocketHoldsArrivesInOrder) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    const std::string data = Pattern(3'000'000);
    c.stream->Append(data);
    EXPECT_EQ(c.stream->pending_output_bytes(), data.size());
    EXPECT_EQ(PeerReads(&c, data.size()), data);
    Until([&] { return c.stream->pending_output_bytes() == 0; });
    Finish(&c);
  });
}

TEST_P(StreamTest, SubmitNowSendsBeforeTheNextTurn) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->Append("now");
    loop_->SubmitNow();
    EXPECT_EQ(world_->PeerRead(c.peer), "now");
    Finish(&c);
  });
}

TEST_P(StreamTest, WriterAfterSubmitNowWaitsForNoOtherEvent) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    green::Timer far([](green::Timer*) {});
    const int64_t start_ns = world_->clock()->NowNs();
    scheduler_->AddTimer(&far, start_ns + 5 * kNanosecondsPerSecond);
    c.stream->Append("now");
    loop_->SubmitNow();
    EXPECT_TRUE(c.stream->WriteUncopied("then").ok());
    EXPECT_LT(world_->clock()->NowNs() - start_ns, 4 * kNanosecondsPerSecond) << "the loop slept on a finished send";
    scheduler_->RemoveTimer(&far);
    EXPECT_EQ(PeerReads(&c, 7), "nowthen");
    Finish(&c);
  });
}

TEST_P(StreamTest, WaitFlushedHoldsAProducerBack) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    const std::string part = Pattern(50'000);
    std::string expected;
    bool done = false;
    scheduler_->Spawn([&] {
      for (int i = 0; i < 40; ++i) {
        c.stream->Append(part);
        expected += part;
        EXPECT_TRUE(c.stream->WaitFlushed(100'000).ok());
        EXPECT_LE(c.stream->pending_output_bytes(), 100'000u);
      }
      EXPECT_TRUE(c.stream->WaitFlushed().ok());
      done = true;
    });
    EXPECT_EQ(PeerReads(&c, 40 * part.size()), expected);
    Until([&] { return done; });
    Finish(&c);
  });
}

TEST_P(StreamTest, UncopiedDataFollowsWhatIsPending) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    for (size_t size : {size_t{10}, size_t{100'000}, size_t{3'000'000}}) {
      const std::string body = Pattern(size);
      std::optional<absl::Status> status;
      scheduler_->Spawn([&] {
        c.stream->Append("head:");
        status = c.stream->WriteUncopied(body);
        c.stream->Append(":tail");
      });
      EXPECT_EQ(PeerReads(&c, body.size() + 10), "head:" + body + ":tail");
      EXPECT_TRUE(status->ok());
    }
    Finish(&c);
  });
}

TEST_P(StreamTest, CancelledWriterGetsItsMemoryBack) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    auto body = std::make_unique<std::string>(Pattern(8'000'000));
    std::optional<absl::Status> status;
    green::GreenThread* const writer = scheduler_->Spawn([&] {
      status = c.stream->WriteUncopied(*body);
      body = nullptr;
    });
    Turns(3);
    EXPECT_FALSE(status.has_value());
    scheduler_->Cancel(writer);
    Until([&] { return status.has_value(); });
    EXPECT_EQ(status->code(), absl::StatusCode::kCancelled);
    Finish(&c, CloseMode::kAbort);
  });
}

TEST_P(StreamTest, SendFileFollowsWhatIsPending) {
  if (simulated()) GTEST_SKIP() << "the pipe of SendFile is a real one";
  Run([this] {
    Connection c(&*loop_, world_.get());
    const std::string content = Pattern(1'000'000);
    const int file = world_->File(content);
    std::optional<absl::StatusOr<size_t>> sent;
    scheduler_->Spawn([&] {
      c.stream->Append("head:");
      sent = c.stream->SendFile(file, 100, 5'000'000);  // more than there is
    });
    EXPECT_EQ(PeerReads(&c, 5 + content.size() - 100), "head:" + content.substr(100));
    Until([&] { return sent.has_value(); });
    EXPECT_EQ(sent->value(), content.size() - 100);
    world_->PeerClose(file);
    Finish(&c);
  });
}

TEST_P(StreamTest, AbortEndsASendFileThatThePeerHoldsUp) {
  if (simulated()) GTEST_SKIP() << "the pipe of SendFile is a real one";
  Run([this] {
    Connection c(&*loop_, world_.get());
    const int file = world_->File(Pattern(8'000'000));
    std::optional<absl::StatusOr<size_t>> sent;
    scheduler_->Spawn([&] { sent = c.stream->SendFile(file, 0, 8'000'000); });
    Turns(10);
    EXPECT_FALSE(sent.has_value());
    Finish(&c, CloseMode::kAbort);
    EXPECT_FALSE(sent->ok());
    world_->PeerClose(file);
  });
}

// ---- errors and closing --------------------------------------------------------------------------------------------

TEST_P(StreamTest, BrokenConnectionIsReportedOnceAndFailsWaiters) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    world_->PeerClose(c.peer);
    c.stream->Append("to nobody");
    EXPECT_FALSE(c.stream->WaitFlushed().ok());
    EXPECT_TRUE(c.stream->broken());
    EXPECT_EQ(c.handler.errors, std::vector<int>{EPIPE});
    c.stream->Append("more");
    EXPECT_FALSE(c.stream->WaitFlushed().ok());
    EXPECT_FALSE(c.stream->WriteUncopied("still more").ok());
    EXPECT_EQ(c.handler.errors.size(), 1u);
    c.stream->Close(CloseMode::kFlush);
    Until([&] { return c.handler.closed; });
    EXPECT_EQ(c.handler.flushes, 0);
  });
}

TEST_P(StreamTest, CloseFlushSendsEverythingFirst) {
  for (size_t size : {size_t{0}, size_t{10}, size_t{2'000'000}}) {
    Run([this, size] {
      Connection c(&*loop_, world_.get());
      c.stream->StartReading();
      Turns(2);
      const std::string data = Pattern(size);
      c.stream->Append(data);
      c.stream->Close(CloseMode::kFlush);
      std::string received;
      Until([&] {
        received += world_->PeerRead(c.peer);
        return c.handler.closed && world_->PeerSeesEnd(c.peer);
      });
      EXPECT_EQ(received, data);
      c.stream.reset();
      world_->PeerClose(c.peer);
    });
  }
}

TEST_P(StreamTest, CloseIsNeverReportedFromWithinTheCall) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->Close(CloseMode::kAbort);
    EXPECT_FALSE(c.handler.closed);
    Finish(&c);
  });
}

TEST_P(StreamTest, AbortDropsOutputThatThePeerDoesNotTake) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    c.stream->Append(Pattern(5'000'000));
    Turns(3);
    c.stream->Close(CloseMode::kFlush);
    Turns(3);
    EXPECT_FALSE(c.handler.closed);
    Finish(&c, CloseMode::kAbort);  // the harsher mode wins
  });
}

TEST_P(StreamTest, AbortWakesAWaiter) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    std::optional<absl::Status> status;
    const std::string body = Pattern(5'000'000);
    scheduler_->Spawn([&] { status = c.stream->WriteUncopied(body); });
    Turns(3);
    EXPECT_FALSE(status.has_value());
    Finish(&c, CloseMode::kAbort);
    EXPECT_FALSE(status->ok());
  });
}

TEST_P(StreamTest, LingerKeepsReadingUntilThePeerCloses) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    c.stream->Append("413");
    c.stream->Close(CloseMode::kLinger);
    Until([&] { return world_->PeerRead(c.peer) == "413"; });
    Until([&] { return world_->PeerSeesEnd(c.peer); });
    world_->PeerWrite(c.peer, "the rest of a body that nobody wants");
    Turns(5);
    EXPECT_FALSE(c.handler.closed);
    EXPECT_EQ(c.handler.received, "");
    world_->PeerClose(c.peer);
    Until([&] { return c.handler.closed; });
  });
}

TEST_P(StreamTest, LingerEndsAfterItsTimeout) {
  if (!simulated()) GTEST_SKIP() << "would take real seconds";
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->Close(CloseMode::kLinger);
    const int64_t start_ns = world_->clock()->NowNs();
    Until([&] { return c.handler.closed; });
    EXPECT_GE(world_->clock()->NowNs() - start_ns, Stream::kLingerTimeoutNs);
    world_->PeerClose(c.peer);
  });
}

TEST_P(StreamTest, LingerEndsAfterTooMuchInput) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->Close(CloseMode::kLinger);
    const int64_t start_ns = world_->clock()->NowNs();
    Until([&] {
      world_->PeerWrite(c.peer, std::string(8192, 'x'));
      return c.handler.closed;
    });
    EXPECT_LT(world_->clock()->NowNs() - start_ns, Stream::kLingerTimeoutNs);
    world_->PeerClose(c.peer);
  });
}

TEST_P(StreamTest, DetachedSocketGoesOnWithAnotherStream) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    world_->PeerWrite(c.peer, "first");
    Until([&] { return c.handler.received == "first"; });
    c.stream->Append("answer");
    c.stream->Detach();
    world_->PeerWrite(c.peer, "second");  // whoever gets it: it is not lost
    EXPECT_FALSE(c.handler.closed) << "not within the call";
    Until([&] { return c.handler.closed; });
    EXPECT_EQ(PeerReads(&c, 6), "answer") << "sent first";
    const std::string before = c.handler.received.substr(5);
    UniqueFd fd = c.stream->TakeFd();
    ASSERT_TRUE(fd.valid());
    c.stream.reset();

    RecordingHandler next;
    c.stream.emplace(&*loop_, std::move(fd), &next);
    c.stream->StartReading();
    Until([&] { return before + next.received == "second"; });
    world_->PeerWrite(c.peer, "third");
    Until([&] { return before + next.received == "secondthird"; });
    c.stream->Append("again");
    EXPECT_EQ(PeerReads(&c, 5), "again");
    c.stream->Close(CloseMode::kFlush);
    Until([&] { return next.closed; });
    c.stream.reset();
    world_->PeerClose(c.peer);
  });
}

TEST_P(StreamTest, DetachSendsWhatThePeerIsSlowToTake) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    const std::string data = Pattern(4 * 1024 * 1024);
    c.stream->Append(data);
    c.stream->Detach();
    Turns(3);
    EXPECT_FALSE(c.handler.closed);
    EXPECT_EQ(PeerReads(&c, data.size()), data);
    Until([&] { return c.handler.closed; });
    UniqueFd fd = c.stream->TakeFd();
    EXPECT_TRUE(fd.valid());
    c.handler.closed = false;
    c.stream.emplace(&*loop_, std::move(fd), &c.handler);
    Finish(&c);
  });
}

TEST_P(StreamTest, DetachStopsReceivingBeforeTheOutputIsSent) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    world_->PeerWrite(c.peer, "first");
    Until([&] { return c.handler.received == "first"; });
    const std::string data = Pattern(4 * 1024 * 1024);
    c.stream->Append(data);
    c.stream->Detach();
    Turns(5);
    world_->PeerWrite(c.peer, "later");
    Turns(5);
    EXPECT_EQ(c.handler.received, "first") << "that is the next owner's";
    EXPECT_EQ(PeerReads(&c, data.size()), data);
    Until([&] { return c.handler.closed; });
    UniqueFd fd = c.stream->TakeFd();
    c.handler.closed = false;
    c.stream.emplace(&*loop_, std::move(fd), &c.handler);
    c.stream->StartReading();
    Until([&] { return c.handler.received == "firstlater"; });
    Finish(&c);
  });
}

TEST_P(StreamTest, DetachOfABrokenOrAbortedConnectionClosesIt) {
  Run([this] {
    Connection c(&*loop_, world_.get());
    c.stream->StartReading();
    Turns(1);
    c.stream->Append(Pattern(4 * 1024 * 1024));
    c.stream->Detach();
    Turns(1);
    c.stream->Close(CloseMode::kAbort);
    Until([&] { return c.handler.closed; });
    EXPECT_FALSE(c.stream->TakeFd().valid());
    c.stream.reset();
    world_->PeerClose(c.peer);
  });
}

TEST_P(StreamTest, HandlerMayDestroyTheStreamWhenItIsClosed) {
  struct Owner final : RecordingHandler {
    void OnClosed() override {
      RecordingHandler::OnClosed();
      stream.reset();
    }
    std::optional<Stream> stream;
  };
  Run([this] {
    auto [ours, peers] = world_->SocketPair();
    Owner owner;
    owner.stream.emplace(&*loop_, UniqueFd(ours), &owner);
    owner.stream->StartReading();
    owner.stream->Append("bye");
    owner.stream->Close(CloseMode::kFlush);
    Until([&] { return owner.closed; });
    world_->PeerClose(peers);
  });
}

TEST_P(StreamTest, ThousandsOfIdleStreamsHoldOnlyThemselves) {
  if (GetParam().name != "Uring") GTEST_SKIP() << "one world is enough";
  constexpr size_t kStreams = 4000;
  Run([this] {
    std::vector<std::unique_ptr<Connection>> connections(kStreams);
    for (auto& c : connections) {
      c = std::make_unique<Connection>(&*loop_, world_.get());
      c->handler.on_data = [stream = &*c->stream](std::string_view) { stream->Append("answer"); };
      c->stream->StartReading();
    }
    Turns(2);
    const size_t before_bytes = mallinfo2().uordblks;
    for (auto& c : connections) world_->PeerWrite(c->peer, "request");
    for (auto& c : connections) EXPECT_EQ(PeerReads(c.get(), 6), "answer");
    Turns(2);
    EXPECT_EQ(loop_->blocks()->taken_count(), 0u);
    EXPECT_LE(loop_->blocks()->free_count(), OutputBlockPool::kFreeBlocksMax);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const size_t blocks_bytes = loop_->blocks()->free_count() * (sizeof(OutputBlock) + 64);
    EXPECT_LE(mallinfo2().uordblks, before_bytes + blocks_bytes + 64 * 1024);
#endif
    for (auto& c : connections) Finish(c.get());
  });
}

}  // namespace
}  // namespace greenring::ioloop
