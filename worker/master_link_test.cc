#include "worker/master_link.h"

#include <errno.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "protocol/frame.h"
#include "testing/run_for.h"
#include "testing/sim_clock.h"
#include "testing/sim_ring.h"

namespace greenring::worker {
namespace {

using v1::FromWorker;
using v1::ToWorker;

constexpr int64_t kMs = kNanosecondsPerMillisecond;
constexpr int64_t kSecond = kNanosecondsPerSecond;

class MasterLinkTest : public ::testing::Test, public MasterLink::Handler {
 protected:
  MasterLinkTest() {
    auto [ours, theirs] = ring_.SocketPair();
    peer_ = theirs;
    link_ =
        std::make_unique<MasterLink>(&loop_, UniqueFd(ours), protocol::FrameDecoder(), std::vector<UniqueFd>(), this);
  }

  void Start() {
    FromWorker::Ready ready;
    ready.set_description("ready to serve");
    link_->Start(ready, [this] { ended_ = true; });
  }

  void TearDown() override {
    if (!ended_) link_->Stop();
    ring_.LimitSends(SIZE_MAX);
    for (int i = 0; i < 100 && !ended_; ++i) {
      ring_.PeerRead(peer_);
      Run(100 * kMs);
    }
    EXPECT_TRUE(ended_);
    Run();
    EXPECT_EQ(scheduler_.stats().live, 0u) << "a green thread did not end";
    link_.reset();
    ring_.PeerClose(peer_);
    Run();
  }

  // Lets everything happen that happens within `duration_ns`.
  void Run(int64_t duration_ns = kMs) { testing::RunFor(&scheduler_, &loop_, duration_ns); }

  static std::string Frame(const ToWorker& message) {
    std::string frame;
    protocol::AppendFrame(&frame, [&message](std::string* out) { return message.AppendToString(out); });
    return frame;
  }

  void Send(ToWorker message, int64_t id = 7) {
    message.set_id(id);
    ring_.PeerWrite(peer_, Frame(message));
  }

  // What the worker has said since the last call.
  std::vector<FromWorker> Received() {
    for (;;) {
      const std::string bytes = ring_.PeerRead(peer_);
      if (bytes.empty()) break;
      decoder_.Append(bytes);
      Run(0);
    }
    std::vector<FromWorker> messages;
    std::string_view payload;
    while (decoder_.Next(&payload) == protocol::FrameDecoder::Result::kFrame) {
      EXPECT_TRUE(messages.emplace_back().ParseFromArray(payload.data(), static_cast<int>(payload.size())));
    }
    return messages;
  }

  // "ready observed report:5 list:3 refused:no such request"
  std::string Heard() {
    std::string text;
    for (const FromWorker& message : Received()) {
      absl::StrAppend(&text, text.empty() ? "" : " ",
                      message.answer_to() == 0 ? "" : absl::StrCat(message.answer_to(), "="));
      if (message.has_ready()) text += "ready";
      if (message.has_observed()) absl::StrAppend(&text, "observed:", message.observed().generations_size());
      if (message.has_report()) absl::StrAppend(&text, "report:", message.report().statistics().requests());
      if (message.has_unfit()) absl::StrAppend(&text, "unfit:", message.unfit().reason());
      if (message.has_draining()) absl::StrAppend(&text, "draining:", message.draining().requests());
      if (message.has_applied()) text += "applied";
      if (message.has_request_list()) absl::StrAppend(&text, "list:", message.request_list().requests_size());
      if (message.has_stack_text()) text += "stack";
      if (message.has_cancelled()) text += "cancelled";
      if (message.has_stopped()) text += "stopped";
      if (message.has_signal_taken()) text += "taken";
      if (message.has_uwsgi_call()) absl::StrAppend(&text, "lock:", message.uwsgi_call().lock().lock());
      if (message.has_refused()) {
        absl::StrAppend(&text, message.refused().not_found() ? "not found:" : "refused:", message.refused().message());
      }
    }
    return text;
  }

  absl::Status Apply(const ToWorker::Apply& apply) override {
    generations_ = 2;
    return absl::OkStatus();
  }
  absl::Status ListRequests(const ToWorker::ListRequests& question, FromWorker::RequestList* answer) override {
    ++lists_;
    for (int i = 0; i < question.count_max(); ++i) answer->add_requests()->set_target(std::string(target_bytes_, 'x'));
    return absl::OkStatus();
  }
  absl::Status GetStack(const ToWorker::GetStack& question, FromWorker::StackText* answer) override {
    return absl::NotFoundError("no such request");
  }
  absl::Status CancelRequest(const ToWorker::CancelRequest& cancel) override {
    return absl::FailedPreconditionError("it has ended");
  }
  absl::Status StopAccepting(const ToWorker::StopAccepting& stop, std::function<void()> done) override {
    stopped_ = std::move(done);
    return absl::OkStatus();
  }
  void SetRoutes(const ToWorker::Routes& routes, std::vector<UniqueFd>) override {
    for (const ToWorker::Routes::Entry& entry : routes.entries()) addresses_.push_back(entry.address());
  }
  void Drain(const ToWorker::Drain& drain) override { draining_requests_ = 3; }
  void Dump() override { ++dumps_; }
  void TakeSignal(int signal) override { signals_.push_back(signal); }
  void OnMasterGone(const std::string& why) override { gone_.push_back(why); }
  void Observe(FromWorker::Observed* observed) override {
    for (int i = 0; i < generations_; ++i) {
      observed->add_generations()->set_generation(10 - i);
      observed->mutable_generations(i)->set_cores_busy(static_cast<int>(clock_.NowNs() / kMs % 100));
    }
  }
  int DrainingRequests() override { return draining_requests_; }
  bool Report(FromWorker::Report* report) override {
    report->mutable_statistics()->set_requests(requests_);
    return std::exchange(reported_, requests_) != requests_;
  }

  testing::SimClock clock_;
  testing::SimRing ring_{&clock_, {.socket_capacity_bytes = 64 * 1024}};
  green::Scheduler scheduler_{{.clock = &clock_}};
  ioloop::EventLoop loop_{&ring_, &scheduler_};
  int peer_ = -1;
  protocol::FrameDecoder decoder_;
  std::unique_ptr<MasterLink> link_;
  bool ended_ = false;

  int generations_ = 1;
  int draining_requests_ = -1;
  int64_t requests_ = 0, reported_ = 0;
  int lists_ = 0;
  int dumps_ = 0;
  std::vector<int> signals_;
  size_t target_bytes_ = 1;
  std::function<void()> stopped_;
  std::vector<std::string> addresses_;
  std::vector<std::string> gone_;
};

TEST_F(MasterLinkTest, SaysReadyAndWhatItRuns) {
  Start();
  Run();
  EXPECT_EQ(Heard(), "ready observed:1");
  Run(5 * kSecond);
  EXPECT_EQ(Heard(), "") << "nothing has changed";
}

TEST_F(MasterLinkTest, AnswersEachQuestionWithItsId) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_list_requests()->set_count_max(2);
  Send(message, 11);
  message.mutable_get_stack();
  Send(message, 12);
  message.mutable_cancel_request();
  Send(message, 13);
  message.clear_what();
  Send(message, 14);
  message.mutable_dump();
  Send(message, 15);
  Run();
  EXPECT_EQ(Heard(),
            "11=list:2 12=not found:no such request 13=refused:it has ended 14=refused:the worker does not know this "
            "message");
  EXPECT_EQ(dumps_, 1);
}

TEST_F(MasterLinkTest, WhatTakesLongIsAnsweredWhenItIsDoneAndHoldsUpNothing) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_stop_accepting();
  Send(message, 21);
  message.mutable_list_requests();
  Send(message, 22);
  Run();
  EXPECT_EQ(Heard(), "22=list:0");
  stopped_();
  Run();
  EXPECT_EQ(Heard(), "21=stopped");
}

TEST_F(MasterLinkTest, ToRoutesThereIsNoAnswer) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_routes()->add_entries()->set_address("a");
  Send(message, 31);
  message.mutable_list_requests();
  Send(message, 32);
  Run();
  EXPECT_EQ(Heard(), "32=list:0");
  EXPECT_EQ(addresses_, std::vector<std::string>{"a"});
}

TEST_F(MasterLinkTest, MessagesMayComeInPieces) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.set_id(5);
  message.mutable_list_requests();
  for (const char byte : Frame(message) + Frame(message)) {
    ring_.PeerWrite(peer_, std::string_view(&byte, 1));
    Run();
  }
  EXPECT_EQ(Heard(), "5=list:0 5=list:0");
}

TEST_F(MasterLinkTest, ReportsOnceASecondWhenThereIsAnythingNew) {
  Start();
  Run();
  Heard();
  requests_ = 100;
  Run(900 * kMs);
  EXPECT_EQ(Heard(), "");
  Run(200 * kMs);
  EXPECT_EQ(Heard(), "report:100");
  Run(10 * kSecond);
  EXPECT_EQ(Heard(), "");
  requests_ = 101;
  Run(1100 * kMs);
  EXPECT_EQ(Heard(), "report:101");
}

TEST_F(MasterLinkTest, ItsOwnWaitsAreNotCounted) {
  Start();
  ring_.LimitSends(1);
  for (int i = 0; i < 5; ++i) {
    ++requests_;
    Run(kSecond);
  }
  ring_.LimitSends(SIZE_MAX);
  Run(kSecond);
  EXPECT_NE(Heard(), "");
  scheduler_.park_counts().ForEach([](const char* call, uint64_t count) {
    ADD_FAILURE() << count << " parks in " << (call != nullptr ? call : "what has no name");
  });
}

TEST_F(MasterLinkTest, AnApplyIsFollowedCloselyUntilAllCoresRunIt) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_apply();
  Send(message);
  Run();
  EXPECT_EQ(Heard(), "7=applied observed:2");
  Run(500 * kMs);
  EXPECT_EQ(Heard(), "") << "who is busy changes all the time, and is no news";
  generations_ = 1;
  Run(2 * MasterLink::kLookInChangeNs);
  EXPECT_EQ(Heard(), "observed:1");
}

TEST_F(MasterLinkTest, TellsHowADrainGoesOn) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_drain();
  Send(message);
  Run();
  EXPECT_EQ(Heard(), "draining:3");
  draining_requests_ = 1;
  Run(1100 * kMs);
  EXPECT_EQ(Heard(), "draining:1");
}

TEST_F(MasterLinkTest, LastWordsAreSaid) {
  Start();
  Run();
  Heard();
  requests_ = 5;
  link_->SendUnfit("worn out", true);
  link_->Stop();
  Run();
  EXPECT_EQ(Heard(), "unfit:worn out report:5");
  EXPECT_TRUE(ended_);
}

TEST_F(MasterLinkTest, AMasterThatDoesNotReadHoldsUpTheEndForASecondOnly) {
  ring_.PeerWrite(peer_, "");
  Start();
  Run();
  ToWorker message;
  message.mutable_list_requests()->set_count_max(200);
  target_bytes_ = 1000;
  Send(message);  // more than the socket takes
  Run(10 * kMs);
  link_->Stop();
  Run(900 * kMs);
  EXPECT_FALSE(ended_);
  Run(300 * kMs);
  EXPECT_TRUE(ended_);
}

TEST_F(MasterLinkTest, ReportsAreDroppedForAMasterThatDoesNotReadAndAnswersAreNot) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_list_requests()->set_count_max(200);
  target_bytes_ = 1000;
  Send(message, 1);
  for (requests_ = 1; requests_ < 20; ++requests_) Run(kSecond);
  Send(message, 2);
  Run();
  Run(2 * kSecond);
  std::string heard;
  for (int i = 0; i < 20; ++i) {
    const std::string more = Heard();
    if (!more.empty()) absl::StrAppend(&heard, heard.empty() ? "" : " ", more);
    Run(100 * kMs);
  }
  EXPECT_EQ(heard, "1=list:200 2=list:200 report:20");
}

TEST_F(MasterLinkTest, QuestionsWaitWhileManyAnswersAreNotTaken) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_list_requests()->set_count_max(600);
  target_bytes_ = 1000;
  for (int i = 1; i <= 20; ++i) {
    Send(message, i);
    Run();
  }
  EXPECT_LT(lists_, 10);
  std::string heard;
  for (int i = 0; i < 500; ++i) {
    heard += Heard() + " ";
    Run();
  }
  EXPECT_EQ(lists_, 20);
  EXPECT_NE(heard.find("20=list:600"), std::string::npos);
}

TEST_F(MasterLinkTest, AnAnswerThatIsTooLongIsRefused) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_list_requests()->set_count_max(17);
  target_bytes_ = 1 << 20;
  Send(message);
  Run();
  EXPECT_EQ(Heard(), "7=refused:the answer is too long; ask for less");
}

TEST_F(MasterLinkTest, AMasterThatIsGoneIsToldOnce) {
  Start();
  Run();
  ring_.PeerClose(peer_);
  Run(3 * kSecond);
  EXPECT_EQ(gone_, std::vector<std::string>{"it has closed the link"});
  link_->SendUnfit("nobody hears this", false);
  link_->LookForNews();
  Run();
}

TEST_F(MasterLinkTest, ALinkThatIsResetIsGone) {
  Start();
  Run();
  ring_.PeerReset(peer_);
  Run(3 * kSecond);
  EXPECT_EQ(gone_, std::vector<std::string>{"it has closed the link"});
}

TEST_F(MasterLinkTest, WhatIsNoMessageEndsTheLink) {
  Start();
  Run();
  ring_.PeerWrite(peer_, std::string("\x02\0\0\0\xff\xff", 6));
  Run();
  EXPECT_EQ(gone_, std::vector<std::string>{"it has sent what is no message"});
}

TEST_F(MasterLinkTest, AFrameThatIsTooLongEndsTheLink) {
  Start();
  Run();
  ring_.PeerWrite(peer_, "\xff\xff\xff\x7f");
  Run();
  EXPECT_EQ(gone_, std::vector<std::string>{"it has sent what is no message"});
}

TEST_F(MasterLinkTest, QuestionsOfTheWorkerAreAnswered) {
  Start();
  Run();
  Heard();
  v1::UwsgiCall call;
  call.mutable_lock()->set_lock(5);
  std::vector<std::string> answers;
  const auto done = [&answers](absl::StatusOr<v1::UwsgiAnswer> answer) {
    answers.push_back(answer.ok() ? answer->message() : std::string(answer.status().message()));
  };
  link_->Ask(call, done);
  link_->Ask(call, done);
  Run();
  const std::vector<FromWorker> asked = Received();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].uwsgi_call().lock().lock(), 5);
  EXPECT_NE(asked[0].id(), asked[1].id());
  ToWorker answer;
  answer.mutable_uwsgi_answer()->set_message("second");
  answer.set_answer_to(asked[1].id());
  Send(answer);
  answer.set_answer_to(12345);  // to nothing
  Send(answer);
  Run();
  EXPECT_EQ(answers, std::vector<std::string>{"second"});
  link_->Stop();
  EXPECT_EQ(answers, (std::vector<std::string>{"second", "the worker ends"}));
  link_->Ask(call, done);
  EXPECT_EQ(answers.back(), "the worker ends");
  EXPECT_EQ(answers.size(), 3u);
}

TEST_F(MasterLinkTest, QuestionsToAMasterThatGoesHaveAnAnswer) {
  Start();
  Run();
  std::vector<std::string> answers;
  const auto done = [&answers](absl::StatusOr<v1::UwsgiAnswer> answer) {
    answers.push_back(std::string(answer.status().message()));
  };
  link_->Ask({}, done);
  Run();
  EXPECT_TRUE(answers.empty());
  ring_.PeerClose(peer_);
  Run();
  EXPECT_EQ(answers, std::vector<std::string>{"the master has gone"});
  link_->Ask({}, done);
  EXPECT_EQ(answers.size(), 2u);
}

TEST_F(MasterLinkTest, ASignalIsHandedOnAndAnswered) {
  Start();
  Run();
  Heard();
  ToWorker message;
  message.mutable_uwsgi_signal()->set_signal(17);
  Send(message);
  Run();
  EXPECT_EQ(signals_, std::vector<int>{17});
  EXPECT_EQ(Heard(), "7=taken");
}

}  // namespace
}  // namespace greenring::worker
