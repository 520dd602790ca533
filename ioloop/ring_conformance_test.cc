// What every Ring promises, on the kernel's io_uring at each rung of its ladder and on the simulated one.

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "ioloop/ring.h"
#include "ioloop/ring_world.h"

namespace greenring::ioloop {
namespace {

// Long enough for the slowest machine; nothing waits so long unless it fails.
constexpr int64_t kPatienceNs = 10 * kNanosecondsPerSecond;

class RingTest : public ::testing::TestWithParam<WorldKind> {
 protected:
  void SetUp() override { Make({}); }

  void Make(const WorldOptions& options) {
    world_ = nullptr;
    world_ = GetParam().make(options);
    if (world_ == nullptr) GTEST_SKIP() << "this kernel or sandbox has no io_uring";
    descriptors_ = world_->OpenDescriptors();
  }

  void TearDown() override {
    if (world_ == nullptr) return;
    EXPECT_EQ(ring()->in_flight(), 0u);
    EXPECT_EQ(world_->OpenDescriptors(), descriptors_);
  }

  Ring* ring() { return world_->ring(); }
  bool simulated() const { return GetParam().name.substr(0, 3) == "Sim"; }

  // Turns until `done`.
  void RunUntil(const std::function<bool()>& done) {
    const int64_t give_up_ns = Clock::Monotonic()->NowNs() + kPatienceNs;
    while (!done()) {
      ASSERT_LT(Clock::Monotonic()->NowNs(), give_up_ns) << "nothing happens";
      ring()->SubmitAndWait(1, world_->clock()->NowNs() + 20 * kNanosecondsPerMillisecond);
      ring()->Reap();
    }
  }

  void RunUntilOver(const RecordingCompletion& completion) {
    RunUntil([&] { return completion.over; });
  }

  // Submits and gives whatever is ready the chance to complete.
  void Settle() {
    ring()->SubmitAndWait(0, 0);
    ring()->Reap();
    ring()->SubmitAndWait(0, 0);
    ring()->Reap();
  }

  // Takes the buffer of an event.
  std::string Take(const RecordingCompletion::Event& event) {
    if (!(event.flags & Ring::kBuffer)) return "";
    std::string data(ring()->BufferOf(event.flags), static_cast<size_t>(std::max(event.result, 0)));
    ring()->ReturnBuffer(event.flags);
    return data;
  }

  void CloseAll(std::initializer_list<int> ours, std::initializer_list<int> peers) {
    for (int fd : ours) ring()->Close(fd);
    for (int fd : peers) world_->PeerClose(fd);
    Settle();
  }

  std::unique_ptr<RingWorld> world_;
  size_t descriptors_ = 0;
};

INSTANTIATE_TEST_SUITE_P(All, RingTest, ::testing::ValuesIn(AllWorlds()),
                         [](const auto& info) { return info.param.name; });

// ---- receiving -----------------------------------------------------------------------------------------------------

TEST_P(RingTest, RecvDeliversWhatIsThere) {
  auto [ours, peers] = world_->SocketPair();
  world_->PeerWrite(peers, "hello");
  char data[16];
  RecordingCompletion received;
  ring()->Recv(ours, data, sizeof(data), 0, &received);
  RunUntilOver(received);
  EXPECT_EQ(std::string(data, static_cast<size_t>(received.result())), "hello");
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, RecvWaitsForThePeer) {
  auto [ours, peers] = world_->SocketPair();
  char data[16];
  RecordingCompletion received;
  ring()->Recv(ours, data, sizeof(data), 0, &received);
  Settle();
  EXPECT_FALSE(received.over);
  EXPECT_EQ(ring()->in_flight(), 1u);
  world_->PeerWrite(peers, "late");
  RunUntilOver(received);
  EXPECT_EQ(received.result(), 4);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, EndOfStreamIsZeroAndErrorsAreNegative) {
  auto [ours, peers] = world_->SocketPair();
  world_->PeerShutdown(peers);
  char data[16];
  RecordingCompletion received, failed;
  ring()->Recv(ours, data, sizeof(data), 0, &received);
  ring()->Recv(-1, data, sizeof(data), 0, &failed);
  RunUntil([&] { return received.over && failed.over; });
  EXPECT_EQ(received.result(), 0);
  EXPECT_EQ(failed.result(), -EBADF);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, RecvMsgFillsItsVectorsAndSaysThatThereIsNoControlData) {
  auto [ours, peers] = world_->SocketPair();
  char first[3], second[10];
  alignas(cmsghdr) char control[100];
  iovec vectors[] = {{first, sizeof(first)}, {second, sizeof(second)}};
  msghdr message = {};
  message.msg_iov = vectors;
  message.msg_iovlen = 2;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  RecordingCompletion received;
  ring()->RecvMsg(ours, &message, 0, &received);
  Settle();
  EXPECT_FALSE(received.over);
  world_->PeerWrite(peers, "onetwo");
  RunUntilOver(received);
  EXPECT_EQ(received.result(), 6);
  EXPECT_EQ(std::string(first, 3) + std::string(second, 3), "onetwo");
  EXPECT_EQ(message.msg_controllen, 0u);
  EXPECT_EQ(message.msg_flags & MSG_CTRUNC, 0);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, RecvProvidedReceivesOnce) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion received;
  ring()->RecvProvided(ours, &received);
  Settle();
  world_->PeerWrite(peers, "one");
  RunUntilOver(received);
  ASSERT_EQ(received.events.size(), 1u);
  EXPECT_EQ(Take(received.events[0]), "one");
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, MultishotReceivesUntilTheEnd) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion received;
  ring()->RecvMultishot(ours, &received);
  std::string all;
  for (int i = 0; i < 100; ++i) {
    const std::string part = "part " + std::to_string(i);
    world_->PeerWrite(peers, part);
    RunUntil([&] { return !received.events.empty(); });
    ASSERT_EQ(received.events.size(), 1u);
    EXPECT_EQ(Take(received.events[0]), part);
    received.events.clear();
    if (std::exchange(received.over, false)) ring()->RecvMultishot(ours, &received);
  }
  world_->PeerShutdown(peers);
  RunUntilOver(received);
  EXPECT_EQ(received.result(), 0);
  Take(received.events.back());
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, RunningOutOfBuffersEndsTheReceiveAndReturningThemHelps) {
  Make({.buffers_initial = 2, .buffers_max = 2, .buffer_size_bytes = 16});
  auto [ours, peers] = world_->SocketPair();
  std::string sent;
  for (int i = 0; i < 12; ++i) sent += "0123456789abcdef";
  world_->PeerWrite(peers, sent);
  world_->PeerShutdown(peers);
  RecordingCompletion received;
  std::string all;
  int exhausted = 0;
  for (bool ended = false; !ended;) {
    received.over = false;
    ring()->RecvMultishot(ours, &received);
    // Keeps the buffers until the receive ends.
    RunUntilOver(received);
    for (const RecordingCompletion::Event& event : received.events) {
      if (event.result == -ENOBUFS) ++exhausted;
      if (event.result == 0) ended = true;
      all += Take(event);
    }
    received.events.clear();
  }
  EXPECT_EQ(all, sent);
  if (ring()->Describe().find("multishot_recv") == std::string::npos && GetParam().name != "SimWithoutMultishot") {
    EXPECT_GT(exhausted, 0);
  }
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, MoreBuffersThanInitiallyAreGivenWhenNeeded) {
  Make({.buffers_initial = 1, .buffers_max = 16, .buffer_size_bytes = 16});
  // Keeps every buffer: the receives can all be served only if the ring gives up to sixteen.
  std::vector<std::pair<int, int>> pairs(16);
  std::vector<RecordingCompletion> received(pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = world_->SocketPair();
    world_->PeerWrite(pairs[i].second, "x");
    ring()->RecvProvided(pairs[i].first, &received[i]);
  }
  RunUntil([&] {
    size_t served = 0;
    for (size_t i = 0; i < pairs.size(); ++i) {
      if (received[i].over && received[i].result() == -ENOBUFS) {
        received[i] = {};
        ring()->RecvProvided(pairs[i].first, &received[i]);
      }
      if (received[i].over) ++served;
    }
    return served == pairs.size();
  });
  for (size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(Take(received[i].events[0]), "x");
    CloseAll({pairs[i].first}, {pairs[i].second});
  }
}

// ---- sending -------------------------------------------------------------------------------------------------------

TEST_P(RingTest, SendsReachThePeer) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion sent, gathered;
  ring()->Send(ours, "one ", 4, MSG_NOSIGNAL, &sent);
  RunUntilOver(sent);
  EXPECT_EQ(sent.result(), 4);
  char two[] = "two ", three[] = "three";
  iovec vectors[] = {{two, 4}, {three, 5}};
  msghdr message{};
  message.msg_iov = vectors;
  message.msg_iovlen = 2;
  ring()->SendMsg(ours, &message, MSG_NOSIGNAL, &gathered);
  RunUntilOver(gathered);
  EXPECT_EQ(gathered.result(), 9);
  EXPECT_EQ(world_->PeerRead(peers), "one two three");
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, SendToAClosedPeerIsAnError) {
  auto [ours, peers] = world_->SocketPair();
  world_->PeerClose(peers);
  RecordingCompletion sent, at_once;
  ring()->Send(ours, "x", 1, MSG_NOSIGNAL, &sent);
  ring()->SendAtOnce(ours, "x", 1, &at_once);
  RunUntil([&] { return sent.over && at_once.over; });
  EXPECT_EQ(sent.result(), -EPIPE);
  EXPECT_EQ(at_once.result(), -EPIPE);
  CloseAll({ours}, {});
}

TEST_P(RingTest, SendOfMoreThanTheSocketHoldsGoesOnAsThePeerReads) {
  auto [ours, peers] = world_->SocketPair();
  const std::string data(4 << 20, 'x');
  RecordingCompletion sent;
  ring()->Send(ours, data.data(), data.size(), MSG_NOSIGNAL | MSG_WAITALL, &sent);
  Settle();
  EXPECT_FALSE(sent.over);
  size_t received = 0;
  RunUntil([&, peers = peers] {
    received += world_->PeerRead(peers).size();
    return received == data.size() && sent.over;
  });
  EXPECT_EQ(sent.result(), static_cast<int32_t>(data.size()));
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, SendAtOnceCompletesWithTheNextEventAtTheLatest) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion sent, received;
  char data[16];
  ring()->Recv(ours, data, sizeof(data), 0, &received);
  ring()->SendAtOnce(ours, "ping", 4, &sent);
  Settle();
  EXPECT_EQ(world_->PeerRead(peers), "ping");
  world_->PeerWrite(peers, "pong");
  RunUntilOver(received);
  EXPECT_TRUE(sent.over);
  EXPECT_EQ(sent.result(), 4);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, SendAtOnceSaysWhatDidNotFit) {
  auto [ours, peers] = world_->SocketPair();
  const std::string data(4 << 20, 'x');
  RecordingCompletion part, nothing, whole;
  ring()->SendAtOnce(ours, data.data(), data.size(), &part);
  RunUntilOver(part);
  EXPECT_GT(part.result(), 0);
  EXPECT_LT(part.result(), static_cast<int32_t>(data.size()));
  ring()->SendAtOnce(ours, data.data(), data.size(), &nothing);
  RunUntilOver(nothing);
  EXPECT_EQ(nothing.result(), -EAGAIN);
  EXPECT_EQ(world_->PeerRead(peers).size(), static_cast<size_t>(part.result()));
  ring()->SendAtOnce(ours, "fits", 4, &whole);
  RunUntilOver(whole);
  EXPECT_EQ(whole.result(), 4);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, OneIncompleteSendAtOnceDoesNotConfuseTheOthers) {
  std::vector<std::pair<int, int>> pairs(6);
  std::vector<RecordingCompletion> sent(pairs.size());
  for (auto& pair : pairs) pair = world_->SocketPair();
  const std::string data(4 << 20, 'x');
  for (size_t i = 0; i < pairs.size(); ++i) {
    ring()->SendAtOnce(pairs[i].first, data.data(), i % 3 == 1 ? data.size() : 10, &sent[i]);
  }
  RunUntil([&] {
    bool all = true;
    for (const RecordingCompletion& completion : sent) all &= completion.over;
    return all;
  });
  for (size_t i = 0; i < pairs.size(); ++i) {
    ASSERT_EQ(sent[i].events.size(), 1u);
    EXPECT_EQ(world_->PeerRead(pairs[i].second).size(), static_cast<size_t>(sent[i].result()));
    EXPECT_TRUE(i % 3 == 1 || sent[i].result() == 10);
    CloseAll({pairs[i].first}, {pairs[i].second});
  }
}

// ---- cancelling and closing ----------------------------------------------------------------------------------------

TEST_P(RingTest, CancelEndsAReceive) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion single, multi;
  char data[16];
  auto [ours2, peers2] = world_->SocketPair();
  ring()->Recv(ours, data, sizeof(data), 0, &single);
  ring()->RecvMultishot(ours2, &multi);
  Settle();
  ring()->Cancel(&single);
  ring()->Cancel(&multi);
  RunUntil([&] { return single.over && multi.over; });
  EXPECT_EQ(single.result(), -ECANCELED);
  EXPECT_EQ(multi.result(), -ECANCELED);
  CloseAll({ours, ours2}, {peers, peers2});
}

TEST_P(RingTest, CancelInTheSubmissionOfTheOperationIsSeen) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion received;
  char data[16];
  ring()->Recv(ours, data, sizeof(data), 0, &received);
  ring()->Cancel(&received);
  RunUntilOver(received);
  EXPECT_EQ(received.result(), -ECANCELED);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, CancelAndDataRaceButTheOperationEndsOnce) {
  for (int i = 0; i < 100; ++i) {
    auto [ours, peers] = world_->SocketPair();
    RecordingCompletion received;
    char data[16];
    ring()->Recv(ours, data, sizeof(data), 0, &received);
    Settle();
    world_->PeerWrite(peers, "data");
    ring()->Cancel(&received);
    RunUntilOver(received);
    Settle();
    ASSERT_EQ(received.events.size(), 1u);
    EXPECT_TRUE(received.result() == 4 || received.result() == -ECANCELED) << received.result();
    CloseAll({ours}, {peers});
  }
}

TEST_P(RingTest, CancelEndsASendThatWaits) {
  auto [ours, peers] = world_->SocketPair();
  const std::string data(4 << 20, 'x');
  RecordingCompletion filled, sent;
  ring()->SendAtOnce(ours, data.data(), data.size(), &filled);
  RunUntilOver(filled);
  ring()->Send(ours, data.data(), data.size(), MSG_NOSIGNAL | MSG_WAITALL, &sent);
  Settle();
  EXPECT_FALSE(sent.over);
  ring()->Cancel(&sent);
  RunUntilOver(sent);
  EXPECT_EQ(sent.result(), -ECANCELED);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, CancelOfWhatIsOverIsHarmless) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion sent;
  ring()->Send(ours, "x", 1, 0, &sent);
  RunUntilOver(sent);
  ring()->Cancel(&sent);
  Settle();
  EXPECT_EQ(sent.events.size(), 1u);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, CloseBehindACancelInOneSubmissionEndsTheConnection) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion received;
  ring()->RecvMultishot(ours, &received);
  Settle();
  EXPECT_FALSE(world_->PeerSeesEnd(peers));
  ring()->Cancel(&received);
  ring()->Close(ours);
  RunUntilOver(received);
  RunUntil([&, peers = peers] { return world_->PeerSeesEnd(peers); });
  CloseAll({}, {peers});
}

TEST_P(RingTest, ShutdownEndsTheStreamForThePeer) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion done;
  ring()->Shutdown(ours, SHUT_WR, &done);
  RunUntilOver(done);
  EXPECT_EQ(done.result(), 0);
  EXPECT_TRUE(world_->PeerSeesEnd(peers));
  CloseAll({ours}, {peers});
}

// ---- connections ---------------------------------------------------------------------------------------------------

TEST_P(RingTest, AcceptTakesEveryConnection) {
  auto [listener, port] = world_->Listen();
  std::vector<int> peers;
  RecordingCompletion accepted;
  ring()->AcceptMultishot(listener, &accepted);
  for (int i = 0; i < 5; ++i) peers.push_back(world_->PeerConnect(port));
  RunUntil([&, listener = listener] {
    if (std::exchange(accepted.over, false)) ring()->AcceptMultishot(listener, &accepted);
    return accepted.events.size() == 5;
  });
  const std::vector<RecordingCompletion::Event> events = accepted.events;
  ring()->Cancel(&accepted);
  RunUntilOver(accepted);
  EXPECT_EQ(accepted.result(), -ECANCELED);
  for (size_t i = 0; i < peers.size(); ++i) {
    ASSERT_GE(events[i].result, 0);
    if (!simulated()) {
      EXPECT_TRUE(fcntl(events[i].result, F_GETFL) & O_NONBLOCK);
      EXPECT_TRUE(fcntl(events[i].result, F_GETFD) & FD_CLOEXEC);
    }
    CloseAll({events[i].result}, {peers[i]});
  }
  CloseAll({listener}, {});
}

TEST_P(RingTest, AcceptWaitsForOneConnectionAndLeavesTheNextAlone) {
  auto [listener, port] = world_->Listen();
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  RecordingCompletion first, second;
  ring()->Accept(listener, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC, &first);
  Settle();
  EXPECT_FALSE(first.over);
  const int peers[] = {world_->PeerConnect(port), world_->PeerConnect(port)};
  RunUntilOver(first);
  Settle();
  EXPECT_EQ(first.events.size(), 1u);
  ring()->Accept(listener, nullptr, nullptr, 0, &second);
  RunUntilOver(second);
  ASSERT_GE(first.result(), 0);
  ASSERT_GE(second.result(), 0);
  if (!simulated()) {
    EXPECT_EQ(address.ss_family, AF_INET);
    EXPECT_EQ(size, sizeof(sockaddr_in));
    EXPECT_FALSE(fcntl(first.result(), F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(fcntl(first.result(), F_GETFD) & FD_CLOEXEC);
    EXPECT_FALSE(fcntl(second.result(), F_GETFD) & FD_CLOEXEC);
  }
  CloseAll({listener, first.result(), second.result()}, {peers[0], peers[1]});
}

TEST_P(RingTest, CancelEndsAnAcceptAndTheConnectionAfterItIsNotTaken) {
  auto [listener, port] = world_->Listen();
  RecordingCompletion cancelled, accepted;
  ring()->Accept(listener, nullptr, nullptr, 0, &cancelled);
  Settle();
  ring()->Cancel(&cancelled);
  RunUntilOver(cancelled);
  EXPECT_EQ(cancelled.result(), -ECANCELED);
  const int peer = world_->PeerConnect(port);
  ring()->Accept(listener, nullptr, nullptr, 0, &accepted);
  RunUntilOver(accepted);
  ASSERT_GE(accepted.result(), 0);
  CloseAll({listener, accepted.result()}, {peer});
}

TEST_P(RingTest, ConnectReachesAListenerAndIsRefusedWithoutOne) {
  auto [listener, port] = world_->Listen();
  const int first = world_->Socket(), second = world_->Socket();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  RecordingCompletion connected, accepted, refused;
  ring()->AcceptMultishot(listener, &accepted);
  ring()->Connect(first, reinterpret_cast<sockaddr*>(&address), sizeof(address), &connected);
  RunUntil([&] { return connected.over && !accepted.events.empty(); });
  EXPECT_EQ(connected.result(), 0);
  const int server = accepted.events[0].result;
  ring()->Cancel(&accepted);
  RunUntilOver(accepted);
  CloseAll({listener}, {});
  ring()->Connect(second, reinterpret_cast<sockaddr*>(&address), sizeof(address), &refused);
  RunUntilOver(refused);
  EXPECT_EQ(refused.result(), -ECONNREFUSED);
  CloseAll({server, first, second}, {});
}

TEST_P(RingTest, PollSaysWhatIsReady) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion readable, writable;
  ring()->PollAdd(ours, POLLIN, &readable);
  ring()->PollAdd(ours, POLLOUT, &writable);
  RunUntilOver(writable);
  EXPECT_EQ(writable.result() & POLLOUT, POLLOUT);
  EXPECT_FALSE(readable.over);
  world_->PeerWrite(peers, "x");
  RunUntilOver(readable);
  EXPECT_EQ(readable.result() & POLLIN, POLLIN);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, FilesAndPipesAreReadWrittenAndSpliced) {
  const int file = world_->File("0123456789");
  auto [pipe_read, pipe_write] = world_->Pipe();
  auto [ours, peers] = world_->SocketPair();
  char data[4];
  RecordingCompletion read, written, end, into_pipe, out_of_pipe;
  ring()->Read(file, data, sizeof(data), 3, &read);
  RunUntilOver(read);
  EXPECT_EQ(std::string(data, 4), "3456");
  ring()->Read(file, data, sizeof(data), 10, &end);
  RunUntilOver(end);
  EXPECT_EQ(end.result(), 0);
  ring()->Write(pipe_write, data, sizeof(data), -1, &written);
  RunUntilOver(written);
  EXPECT_EQ(written.result(), 4);
  ring()->Splice(file, 8, pipe_write, -1, 100, 0, &into_pipe);
  RunUntilOver(into_pipe);
  EXPECT_EQ(into_pipe.result(), 2);
  ring()->Splice(pipe_read, -1, ours, -1, 6, 0, &out_of_pipe);
  RunUntilOver(out_of_pipe);
  EXPECT_EQ(out_of_pipe.result(), 6);
  EXPECT_EQ(world_->PeerRead(peers), "345689");
  CloseAll({file, pipe_read, pipe_write, ours}, {peers});
}

TEST_P(RingTest, SeveralBuffersAreWrittenAndReadAtOnce) {
  const int file = world_->File("0123456789");
  char one[] = "one", three[] = "three";
  const iovec sources[] = {{one, 3}, {three, 5}};
  RecordingCompletion written, synced, read;
  ring()->WriteV(file, sources, 2, 4, 0, &written);
  RunUntilOver(written);
  EXPECT_EQ(written.result(), 8);
  ring()->Fsync(file, /*data_only=*/true, &synced);
  RunUntilOver(synced);
  EXPECT_EQ(synced.result(), 0);
  char first[6], second[10];
  const iovec targets[] = {{first, sizeof(first)}, {second, sizeof(second)}};
  ring()->ReadV(file, targets, 2, 0, 0, &read);
  RunUntilOver(read);
  EXPECT_EQ(read.result(), 12);
  EXPECT_EQ(std::string(first, 6), "0123on");
  EXPECT_EQ(std::string(second, 6), "ethree");
  CloseAll({file}, {});
}

TEST_P(RingTest, FilesAreOpenedByPath) {
  const int file = world_->File("content");
  const std::string path = world_->PathOf(file);
  RecordingCompletion opened, missing, unsynced, read;
  ring()->OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0, &opened);
  RunUntilOver(opened);
  ASSERT_GE(opened.result(), 0);
  const int again = opened.result();
  char data[16];
  ring()->Read(again, data, sizeof(data), 0, &read);
  RunUntilOver(read);
  EXPECT_EQ(std::string(data, 7), "content");
  ring()->OpenAt(AT_FDCWD, "/no/such/file", O_RDONLY, 0, &missing);
  auto [ours, peers] = world_->SocketPair();
  ring()->Fsync(ours, /*data_only=*/false, &unsynced);
  RunUntil([&] { return missing.over && unsynced.over; });
  EXPECT_EQ(missing.result(), -ENOENT);
  EXPECT_EQ(unsynced.result(), -EINVAL);
  CloseAll({file, again, ours}, {peers});
}

// ---- the turn ------------------------------------------------------------------------------------------------------

TEST_P(RingTest, WaitEndsAtItsDeadline) {
  const int64_t deadline_ns = world_->clock()->NowNs() + 2 * kNanosecondsPerMillisecond;
  // A signal may end a wait early, never late.
  while (world_->clock()->NowNs() < deadline_ns) ring()->SubmitAndWait(1, deadline_ns);
  EXPECT_EQ(ring()->Reap(), 0u);
}

TEST_P(RingTest, GatheringIsContentWithLessWhenItsPatienceEnds) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion received;
  char data[16];
  ring()->Recv(ours, data, sizeof(data), 0, &received);
  world_->PeerWrite(peers, "one");
  // Would sleep for ever if it insisted on all ten.
  ring()->SubmitAndGather(10, kNanosecondsPerMillisecond, kNeverNs);
  ring()->Reap();
  EXPECT_TRUE(received.over);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, GatheringEndsAtItsDeadlineWithNothing) {
  const int64_t deadline_ns = world_->clock()->NowNs() + 2 * kNanosecondsPerMillisecond;
  while (world_->clock()->NowNs() < deadline_ns) {
    ring()->SubmitAndGather(10, 100 * kNanosecondsPerMicrosecond, deadline_ns);
  }
  EXPECT_EQ(ring()->Reap(), 0u);
}

TEST_P(RingTest, GatheringSleepsOnAfterItsPatienceUntilSomethingComes) {
  std::thread waker([this] {
    poll(nullptr, 0, 5);  // not for synchronisation: the wake may come before or after the end of the patience
    ring()->Wake();
  });
  ring()->SubmitAndGather(10, kNanosecondsPerMillisecond, kNeverNs);
  waker.join();
}

TEST_P(RingTest, DeadlineThatIsPastDoesNotWait) {
  ring()->SubmitAndWait(1, 1);
  ring()->SubmitAndWait(1, 0);
  EXPECT_EQ(ring()->Reap(), 0u);
}

TEST_P(RingTest, WakeBeforeTheWaitIsNotLost) {
  ring()->Wake();
  ring()->Wake();
  ring()->SubmitAndWait(1, kNeverNs);
  EXPECT_EQ(ring()->Reap(), 0u);
}

TEST_P(RingTest, AMereSubmissionLeavesTheWakeToTheWait) {
  auto [ours, peers] = world_->SocketPair();
  RecordingCompletion received;
  char data[16];
  ring()->Recv(ours, data, sizeof(data), 0, &received);
  ring()->Wake();
  ring()->SubmitAndWait(0, 0);
  ring()->SubmitAndWait(1, kNeverNs);
  EXPECT_EQ(ring()->Reap(), 0u);
  ring()->Cancel(&received);
  RunUntilOver(received);
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, WakeFromAnotherThreadEndsTheWait) {
  std::thread waker([this] { ring()->Wake(); });
  ring()->SubmitAndWait(1, kNeverNs);
  waker.join();
}

TEST_P(RingTest, NoneOfThousandsOfWakesIsLost) {
  // The waker wakes for each number it gives; the loop sleeps without deadline until it has seen it.
  constexpr int kWakes = 5000;
  std::atomic<int> given{0}, seen{0};
  std::thread waker([&] {
    for (int i = 1; i <= kWakes; ++i) {
      given.store(i, std::memory_order_release);
      ring()->Wake();
      if (i % 3 == 0) continue;  // some of them without waiting for the loop
      while (seen.load(std::memory_order_acquire) < i) std::this_thread::yield();
    }
  });
  while (seen.load(std::memory_order_relaxed) < kWakes) {
    ring()->SubmitAndWait(1, kNeverNs);
    ring()->Reap();
    seen.store(given.load(std::memory_order_acquire), std::memory_order_release);
  }
  waker.join();
}

TEST_P(RingTest, OperationsQueuedByACompletionRunInALaterReap) {
  auto [ours, peers] = world_->SocketPair();
  struct Chain final : Completion {
    void OnComplete(int32_t result, uint32_t flags) override {
      EXPECT_FALSE(inside);
      inside = true;
      if (++count < 5) {
        ring->Send(fd, "x", 1, 0, this);
        ring->SubmitAndWait(0, 0);  // even if it is over at once
      }
      inside = false;
    }
    Ring* ring;
    int fd;
    int count = 0;
    bool inside = false;
  } chain;
  chain.ring = ring();
  chain.fd = ours;
  ring()->Send(ours, "x", 1, 0, &chain);
  RunUntil([&] { return chain.count == 5; });
  EXPECT_EQ(world_->PeerRead(peers), "xxxxx");
  CloseAll({ours}, {peers});
}

TEST_P(RingTest, MoreOperationsThanTheQueueHoldsAllComplete) {
  Make({.submissions_max = 4, .buffers_initial = 4, .buffers_max = 4});
  std::vector<std::pair<int, int>> pairs(50);
  std::vector<RecordingCompletion> sent(pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = world_->SocketPair();
    ring()->SendAtOnce(pairs[i].first, "x", 1, &sent[i]);
  }
  EXPECT_EQ(ring()->in_flight(), pairs.size());
  RunUntil([&] { return ring()->in_flight() == 0; });
  for (size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(sent[i].result(), 1);
    EXPECT_EQ(world_->PeerRead(pairs[i].second), "x");
    CloseAll({pairs[i].first}, {pairs[i].second});
  }
}

}  // namespace
}  // namespace greenring::ioloop
