#include "worker/request_list.h"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/repeated_field.h"
#include "green/lock_holders.h"
#include "green/scoped_wait.h"
#include "gtest/gtest.h"
#include "worker/request_end_fixture.h"

namespace greenring::worker {
namespace {

namespace v1 = control::v1;

using Requests = google::protobuf::RepeatedPtrField<v1::Request>;

constexpr int64_t kWallNs = 1'700'000'000 * kSecond;

int64_t MillisecondsOf(const google::protobuf::Duration& duration) {
  return duration.seconds() * 1000 + duration.nanos() / kMs;
}

class RequestListTest : public RequestEndTest {
 protected:
  RequestList list() {
    return RequestList(service_.get(), scheduler_.get(), [] { return kWallNs; });
  }

  Requests Listed(int64_t age_min_ns = 0, int32_t count_max = 1000) {
    Requests requests;
    list().List(age_min_ns, count_max, &requests);
    return requests;
  }

  int Request(std::string_view request = kGet) {
    peers_.push_back(Connect());
    ring_.PeerWrite(peers_.back(), request);
    Run();
    return peers_.back();
  }

  int64_t NumberOf(const v1::Request& request) { return std::stoll(request.name()); }

  void TearDown() override {
    for (const int peer : peers_) ring_.PeerClose(peer);
    Run(20 * kSecond);
    EXPECT_EQ(Listed().size(), 0);
    RequestEndTest::TearDown();
  }

  std::vector<int> peers_;
};

TEST_F(RequestListTest, TellsQueuedAndRunningOnesTheOldestFirst) {
  Start({.cores_max = 1});
  SleepAndReply(kSecond);
  Request("GET /first?a=1 HTTP/1.1\r\nHost: shop.example\r\nX-Request-ID: mine\r\n\r\n");
  Run(200 * kMs);
  Request("PUT /second HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  Connect();  // idle connections are no requests
  Run(100 * kMs);
  const Requests requests = Listed();
  ASSERT_EQ(requests.size(), 2);

  const v1::Request& running = requests[0];
  EXPECT_EQ(running.request_id(), "mine");
  EXPECT_EQ(running.method(), "GET");
  EXPECT_EQ(running.target(), "/first?a=1");
  EXPECT_EQ(running.host(), "shop.example");
  EXPECT_EQ(running.state(), v1::Request::PARKED);
  EXPECT_EQ(running.fd(), -1);
  EXPECT_NEAR(static_cast<double>(MillisecondsOf(running.age())), 302, 2);
  EXPECT_NEAR(static_cast<double>(MillisecondsOf(running.in_state())), 302, 2);
  EXPECT_EQ(running.start_time().seconds(), kWallNs / kSecond - 1);
  EXPECT_FALSE(running.has_deadline());
  EXPECT_EQ(running.switches(), 0) << "its core had the processor when it took it, and parked since";
  EXPECT_GT(running.stack_size_bytes(), 0);
  EXPECT_GT(running.stack_use_bytes(), 0);
  EXPECT_EQ(running.engine(), v1::UCONTEXT);
  EXPECT_GT(running.green_thread(), 0);

  const v1::Request& queued = requests[1];
  EXPECT_EQ(queued.state(), v1::Request::QUEUED);
  EXPECT_EQ(queued.method(), "PUT");
  EXPECT_FALSE(queued.request_id().empty());
  EXPECT_NE(queued.name(), running.name());
  EXPECT_EQ(queued.green_thread(), 0);
  EXPECT_EQ(queued.fd(), -1);
  EXPECT_NEAR(static_cast<double>(MillisecondsOf(queued.in_state())), 101, 2);
  ring_.PeerClose(peers_[0]);
  Run(5 * kSecond);
}

TEST_F(RequestListTest, WhatHasEndedIsNotListed) {
  Start();
  Request();
  EXPECT_EQ(Listed().size(), 0);
}

TEST_F(RequestListTest, CanBeLimitedByAgeAndCount) {
  Start();
  SleepAndReply(10 * kSecond);
  for (int i = 0; i < 5; ++i) {
    Request("GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    Run(kSecond);
  }
  EXPECT_EQ(Listed().size(), 5);
  EXPECT_EQ(Listed(0, 2).size(), 2);
  EXPECT_EQ(Listed(0, 2)[0].target(), "/0");
  EXPECT_EQ(Listed(0, -1).size(), 0);
  EXPECT_EQ(Listed(3 * kSecond).size(), 3);
  EXPECT_EQ(Listed(100 * kSecond).size(), 0);
}

TEST_F(RequestListTest, TellsTheCallAndTheDeadlineOfAParkedOne) {
  StartWith(30 * kSecond);
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  app_ = [&](HttpExchange* exchange) {
    const green::ScopedWait noted(scheduler_->current(), {.call = "recv", .fd = pipe_fds[0]});
    scheduler_->Park(clock_.NowNs() + 5 * kSecond);
    Reply(exchange, "done");
  };
  Request();
  const Requests requests = Listed();
  ASSERT_EQ(requests.size(), 1);
  EXPECT_EQ(requests[0].call(), "recv");
  EXPECT_EQ(requests[0].fd(), pipe_fds[0]);
  EXPECT_EQ(requests[0].peer(), "pipe");
  EXPECT_EQ(requests[0].deadline().seconds(), kWallNs / kSecond + 29) << "30 s less the millisecond that passed";
  Run(6 * kSecond);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
}

TEST_F(RequestListTest, TellsThatAnOsThreadHasIt) {
  Start();
  app_ = [&](HttpExchange* exchange) {
    const green::ScopedWait noted(scheduler_->current(),
                                  {.call = "OS thread", .kind = green::WaitNote::Kind::kOsThread});
    scheduler_->Park(clock_.NowNs() + kSecond);
    Reply(exchange, "done");
  };
  Request();
  const Requests requests = Listed();
  ASSERT_EQ(requests.size(), 1);
  EXPECT_EQ(requests[0].state(), v1::Request::ON_THREAD);
  EXPECT_EQ(requests[0].call(), "");
}

TEST_F(RequestListTest, NamesTheRequestThatHoldsALock) {
  Start();
  int lock = 0;
  app_ = [&](HttpExchange* exchange) {
    const bool holds = exchange->head().target == "/holder";
    if (holds) {
      green::LockHolders::Acquired(&lock, green::LockHolders::OfGreenThread(*scheduler_->current()));
      scheduler_->Park(clock_.NowNs() + 5 * kSecond);
      green::LockHolders::Released(&lock);
    } else {
      const green::ScopedWait noted(scheduler_->current(),
                                    {.call = "sem_wait", .object = &lock, .kind = green::WaitNote::Kind::kLock});
      scheduler_->Park(clock_.NowNs() + 5 * kSecond);
    }
    Reply(exchange, "done");
  };
  Request("GET /holder HTTP/1.1\r\nHost: h\r\n\r\n");
  Request("GET /waiter HTTP/1.1\r\nHost: h\r\n\r\n");
  const Requests requests = Listed();
  ASSERT_EQ(requests.size(), 2);
  EXPECT_EQ(requests[1].lock_holder(), "request " + requests[0].name());
  EXPECT_EQ(requests[0].lock_holder(), "");
  Run(6 * kSecond);
}

TEST_F(RequestListTest, ALongTargetIsCut) {
  Start();
  SleepAndReply(kSecond);
  Request("GET /" + std::string(3000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n");
  const Requests requests = Listed();
  ASSERT_EQ(requests.size(), 1);
  EXPECT_EQ(requests[0].target().size(), RequestList::kTargetBytesMax);
}

TEST_F(RequestListTest, AParkedOneTellsItsStack) {
  Start({.cores_max = 1});
  SleepAndReply(kSecond);
  Request();
  Request();
  const Requests requests = Listed();
  ASSERT_EQ(requests.size(), 2);
  const absl::StatusOr<v1::Stack> running = list().Stack(NumberOf(requests[0]));
  ASSERT_TRUE(running.ok());
  EXPECT_EQ(running->python(), "  File \"app.py\", line 1, in app\n");
  EXPECT_EQ(running->request().name(), requests[0].name());
  const absl::StatusOr<v1::Stack> queued = list().Stack(NumberOf(requests[1]));
  ASSERT_TRUE(queued.ok());
  EXPECT_EQ(queued->python(), "");
  EXPECT_TRUE(absl::IsNotFound(list().Stack(4711).status()));
  EXPECT_TRUE(absl::IsNotFound(list().Stack(-1).status()));
}

TEST_F(RequestListTest, ACancelledOneIsInterruptedAndItsClientTold503) {
  Start();
  SleepAndReply(100 * kSecond);
  const int peer = Request();
  const int64_t number = NumberOf(Listed()[0]);
  EXPECT_TRUE(list().Cancel(number, "too slow").ok());
  Run();
  EXPECT_EQ(cancels_, std::vector<std::string>{"too slow"});
  const std::string response = ring_.PeerRead(peer);
  EXPECT_TRUE(Contains(response, "HTTP/1.1 503 ")) << response;
  EXPECT_EQ(service_->statistics().cancelled(), 1u);
  EXPECT_EQ(service_->statistics().requests(), 1u);
  EXPECT_TRUE(absl::IsNotFound(list().Cancel(number, "again")));
}

TEST_F(RequestListTest, ACancelledOneInTheQueueNeverRuns) {
  Start({.cores_max = 1});
  SleepAndReply(2 * kSecond);
  Request();
  const int peer = Request();
  const Requests requests = Listed();
  ASSERT_EQ(requests.size(), 2);
  EXPECT_TRUE(list().Cancel(NumberOf(requests[1]), "no").ok());
  Run();
  const std::string response = ring_.PeerRead(peer);
  EXPECT_TRUE(Contains(response, "HTTP/1.1 503 ")) << response;
  Run(5 * kSecond);
  EXPECT_EQ(runs_, 1);
  EXPECT_EQ(service_->statistics().cancelled(), 1u);
  EXPECT_EQ(service_->statistics().requests(), 2u);
}

TEST_F(RequestListTest, ACancelledOneThatGoesOnCanBeCancelledAgain) {
  Start();
  app_ = [this](HttpExchange* exchange) {
    const Interruptee interruptee(this, exchange);
    Swallow(5 * kSecond);
    ReplyAsPyhost(exchange);
  };
  Request();
  const int64_t number = NumberOf(Listed()[0]);
  EXPECT_TRUE(list().Cancel(number, "one").ok());
  Run(kSecond);
  EXPECT_TRUE(list().Cancel(number, "two").ok());
  Run(5 * kSecond);
  EXPECT_EQ(cancels_, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(service_->statistics().cancelled(), 1u);
}

TEST_F(RequestListTest, OneThatNoApplicationRunsYetIsNotCancelled) {
  Start();
  app_ = [this](HttpExchange* exchange) {
    scheduler_->Park(clock_.NowNs() + kSecond);  // has told nobody how to interrupt it
    Reply(exchange, "done");
  };
  Request();
  EXPECT_TRUE(absl::IsUnavailable(list().Cancel(NumberOf(Listed()[0]), "now")));
  Run(2 * kSecond);
}

TEST_F(RequestListTest, AThousandAreListedInAMoment) {
  Start({.cores_max = 900});
  SleepAndReply(kSecond);
  for (int i = 0; i < 1000; ++i) {
    peers_.push_back(Connect());
    ring_.PeerWrite(peers_.back(), kGet);
  }
  Run();
  const auto began = std::chrono::steady_clock::now();
  const Requests requests = Listed();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
  EXPECT_EQ(requests.size(), 1000);
  RecordProperty("milliseconds", std::to_string(took.count()));
  EXPECT_LT(took.count(), 1000) << "far more than it takes on a machine that is busy";
}

}  // namespace
}  // namespace greenring::worker
