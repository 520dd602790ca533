// What a worker answers to its master: the handler with everything it works on but Python's side of a request.
#include "worker/master_handler.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "pyhost/gil.h"
#include "pyhost/interpreter.h"
#include "worker/request_end_fixture.h"

namespace greenring::worker {
namespace {

struct Applied {
  WorkerOptions options;
  int64_t generation = 0;
  int canary_percent = 0;
};

// A pool with everything filled in, as a master sends it.
control::v1::Pool PoolOf(int64_t generation, int async_cores = 4) {
  control::v1::Pool pool;
  pool.set_name("pools/web");
  pool.set_generation(generation);
  pool.mutable_application()->set_target("shop.wsgi:app");
  pool.set_async_cores(async_cores);
  pool.set_engine(control::v1::FCONTEXT);
  pool.set_stack_size_bytes(128 << 10);
  pool.set_queue_depth_max(64);
  for (google::protobuf::Duration* timeout :
       {pool.mutable_timeouts()->mutable_header(), pool.mutable_timeouts()->mutable_io(),
        pool.mutable_timeouts()->mutable_keepalive(), pool.mutable_timeouts()->mutable_request_grace(),
        pool.mutable_timeouts()->mutable_drain()}) {
    timeout->set_seconds(10);
  }
  pool.mutable_time_slice()->set_nanos(10 * kMs);
  pool.mutable_limits()->set_request_line_bytes(8190);
  pool.mutable_limits()->set_request_fields(100);
  pool.mutable_limits()->set_request_field_bytes(8190);
  return pool;
}

class MasterHandlerTest : public RequestEndTest {
 protected:
  void StartHandled(CoreSettings cores = {}) {
    Start(cores);
    requests_.emplace(service_.get(), scheduler_.get(), [] { return int64_t{0}; });
    statistics_.emplace(StatisticsCollector::Sources{.service = service_.get(),
                                                     .cores = cores_.get(),
                                                     .scheduler = scheduler_.get(),
                                                     .loop = loop_.get(),
                                                     .gil_wait = nullptr,
                                                     .preemptions = nullptr});
    dumper_.emplace(scheduler_.get(), &errors_);
    handler_.emplace(MasterHandler::Parts{
        .service = service_.get(),
        .cores = cores_.get(),
        .dumper = &*dumper_,
        .statistics = &*statistics_,
        .requests = &*requests_,
        .shared_addresses = nullptr,
        .apply =
            [this](const WorkerOptions& options, int64_t generation, int canary_percent) {
              applied_.push_back({options, generation, canary_percent});
            },
        .drain = [this](const std::string& reason, int64_t timeout_ns) { drains_.emplace_back(reason, timeout_ns); }});
  }

  void TearDown() override {
    handler_.reset();
    dumper_.reset();
    RequestEndTest::TearDown();
  }

  absl::Status Apply(control::v1::Pool pool, int canary_percent = 0) {
    v1::ToWorker::Apply apply;
    *apply.mutable_pool() = std::move(pool);
    apply.set_canary_percent(canary_percent);
    return handler_->Apply(apply);
  }

  v1::FromWorker::RequestList Listed(int64_t age_min_ns = 0, int32_t count_max = 100) {
    v1::ToWorker::ListRequests question;
    question.set_age_min_ns(age_min_ns);
    question.set_count_max(count_max);
    v1::FromWorker::RequestList list;
    EXPECT_TRUE(handler_->ListRequests(question, &list).ok());
    return list;
  }

  absl::Status Cancel(int64_t request) {
    v1::ToWorker::CancelRequest cancel;
    cancel.set_request(request);
    cancel.set_reason("too slow");
    return handler_->CancelRequest(cancel);
  }

  // A request that lasts for `duration_ns`; its peer's end of the connection.
  int Begin(int64_t duration_ns) {
    SleepAndReply(duration_ns);
    const int peer = Connect();
    ring_.PeerWrite(peer, kGet);
    Run();
    return peer;
  }

  void End(int peer) {
    Run(20 * kSecond);
    ring_.PeerClose(peer);
  }

  std::optional<RequestList> requests_;
  std::optional<StatisticsCollector> statistics_;
  std::optional<ThreadDumper> dumper_;
  std::optional<MasterHandler> handler_;
  std::vector<Applied> applied_;
  std::vector<std::pair<std::string, int64_t>> drains_;
};

TEST_F(MasterHandlerTest, AnApplyIsHandedOnAsOptions) {
  StartHandled();
  EXPECT_EQ(Apply(PoolOf(7, 9)), absl::OkStatus());
  EXPECT_EQ(Apply(PoolOf(8, 9), 25), absl::OkStatus());
  ASSERT_EQ(applied_.size(), 2u);
  EXPECT_EQ(applied_[0].generation, 7);
  EXPECT_EQ(applied_[0].canary_percent, 0);
  EXPECT_EQ(applied_[0].options.cores.cores_max, 9u);
  EXPECT_EQ(applied_[0].options.cores.engine, CoreEngine::kFcontext);
  EXPECT_EQ(applied_[0].options.cores.stack_size_bytes, 128u << 10);
  EXPECT_EQ(applied_[1].generation, 8);
  EXPECT_EQ(applied_[1].canary_percent, 25);
}

TEST_F(MasterHandlerTest, APoolThatCannotBeIsRefusedAndNothingChanges) {
  StartHandled();
  EXPECT_TRUE(absl::IsInvalidArgument(Apply(PoolOf(7, 0))));
  control::v1::Pool no_engine = PoolOf(7);
  no_engine.set_engine(static_cast<control::v1::Engine>(99));
  EXPECT_TRUE(absl::IsInvalidArgument(Apply(no_engine)));
  EXPECT_FALSE(Apply({}).ok());
  EXPECT_TRUE(applied_.empty());
}

TEST_F(MasterHandlerTest, ACanaryIsAShare) {
  StartHandled();
  for (const int percent : {-1, 100, 1000}) {
    const absl::Status status = Apply(PoolOf(7), percent);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << percent;
    EXPECT_TRUE(Contains(std::string(status.message()), "canary_percent")) << status;
  }
  EXPECT_TRUE(applied_.empty());
  EXPECT_EQ(Apply(PoolOf(7), 99), absl::OkStatus());
}

TEST_F(MasterHandlerTest, WhoDrainsIsNotChanged) {
  StartHandled();
  const int peer = Begin(5 * kSecond);
  service_->Drain();
  EXPECT_TRUE(absl::IsFailedPrecondition(Apply(PoolOf(7))));
  EXPECT_TRUE(applied_.empty());
  End(peer);
}

TEST_F(MasterHandlerTest, RequestsAreListedByAgeAndCount) {
  StartHandled();
  const int first = Begin(10 * kSecond);
  Run(2 * kSecond);
  const int second = Begin(10 * kSecond);
  EXPECT_EQ(Listed().requests_size(), 2);
  EXPECT_EQ(Listed(kSecond).requests_size(), 1);
  EXPECT_EQ(Listed(0, 1).requests_size(), 1);
  EXPECT_EQ(Listed(0, -5).requests_size(), 0);
  EXPECT_EQ(Listed().requests(0).target(), "/a");
  End(first);
  EXPECT_EQ(Listed().requests_size(), 0);
  ring_.PeerClose(second);
}

TEST_F(MasterHandlerTest, AStackIsThatOfARequestInFlight) {
  static auto* const interpreter = new auto(pyhost::Interpreter::Start({}));
  ASSERT_TRUE(interpreter->ok()) << interpreter->status();
  pyhost::PythonSwitchHook hook;
  StartHandled();
  scheduler_->SetSwitchHook(&hook);
  const pyhost::ScopedGilRelease release;
  const int peer = Begin(10 * kSecond);
  v1::ToWorker::GetStack question;
  question.set_request(std::stoll(Listed().requests(0).name()));
  v1::FromWorker::StackText answer;
  absl::Status status;
  const auto ask = [&] {
    scheduler_->Spawn([&] { status = handler_->GetStack(question, &answer); });
    Run();
  };
  ask();
  EXPECT_EQ(status, absl::OkStatus());
  EXPECT_EQ(answer.python(), "  File \"app.py\", line 1, in app\n");
  EXPECT_EQ(answer.request().target(), "/a");
  Run(20 * kSecond);
  ask();
  EXPECT_TRUE(absl::IsNotFound(status)) << "it has ended: " << status;
  End(peer);
  scheduler_->SetSwitchHook(nullptr);
}

TEST_F(MasterHandlerTest, ARequestIsCancelledWithTheReason) {
  StartHandled();
  const int peer = Begin(10 * kSecond);
  const int64_t number = std::stoll(Listed().requests(0).name());
  EXPECT_EQ(Cancel(number), absl::OkStatus());
  Run();
  EXPECT_EQ(cancels_, std::vector<std::string>{"too slow"});
  EXPECT_TRUE(Contains(ring_.PeerRead(peer), "503"));
  EXPECT_TRUE(absl::IsNotFound(Cancel(number))) << "it has ended";
  EXPECT_TRUE(absl::IsNotFound(Cancel(-1)));
  End(peer);
}

TEST_F(MasterHandlerTest, StopAcceptingWithoutSuchListenersIsDoneAtOnce) {
  StartHandled();
  v1::ToWorker::StopAccepting stop;
  stop.add_addresses("127.0.0.1:1");
  int done = 0;
  EXPECT_EQ(handler_->StopAccepting(stop, [&done] { ++done; }), absl::OkStatus());
  EXPECT_EQ(done, 1);
}

TEST_F(MasterHandlerTest, GenerationsAreObservedTheNewestAsThisWorker) {
  StartHandled({.cores_max = 2});
  const int peer = Begin(5 * kSecond);
  cores_->Apply({.stack_size_bytes = 128 << 10, .cores_max = 3}, 2, 0);
  v1::FromWorker::Observed observed;
  handler_->Observe(&observed);
  ASSERT_EQ(observed.generations_size(), 2);
  EXPECT_EQ(observed.generations(0).generation(), 2);
  EXPECT_EQ(observed.generations(0).workers(), 1);
  EXPECT_EQ(observed.generations(0).cores(), 0);
  EXPECT_EQ(observed.generations(1).workers(), 0);
  EXPECT_EQ(observed.generations(1).cores(), 1);
  EXPECT_EQ(observed.generations(1).cores_busy(), 1);
  End(peer);
  observed.Clear();
  handler_->Observe(&observed);
  EXPECT_EQ(observed.generations_size(), 1);
}

TEST_F(MasterHandlerTest, ReportsHaveStatisticsAndThoseOfTheGenerations) {
  StartHandled();
  const int peer = Connect();
  Exchanged(peer, kGet);
  v1::FromWorker::Report report;
  EXPECT_TRUE(handler_->Report(&report));
  EXPECT_EQ(report.statistics().requests(), 1);
  ASSERT_EQ(report.generations_size(), 1);
  EXPECT_EQ(report.generations(0).requests(), 1);
  ring_.PeerClose(peer);
}

TEST_F(MasterHandlerTest, ADrainTellsHowManyRequestsItWaitsForQueuedOnesToo) {
  StartHandled({.cores_max = 1});
  EXPECT_EQ(handler_->DrainingRequests(), -1);
  const int first = Begin(2 * kSecond), second = Begin(2 * kSecond);
  EXPECT_EQ(handler_->DrainingRequests(), -1);
  service_->Drain();
  EXPECT_EQ(handler_->DrainingRequests(), 2);
  Run(3 * kSecond);
  EXPECT_EQ(handler_->DrainingRequests(), 1);
  Run(3 * kSecond);
  EXPECT_EQ(handler_->DrainingRequests(), 0);
  ring_.PeerClose(first);
  ring_.PeerClose(second);
}

TEST_F(MasterHandlerTest, ADrainSaysWhyAndHowLong) {
  StartHandled();
  v1::ToWorker::Drain drain;
  drain.set_reason("a reload");
  drain.set_timeout_ns(3 * kSecond);
  handler_->Drain(drain);
  handler_->OnMasterGone("it has closed the link");
  ASSERT_EQ(drains_.size(), 2u);
  EXPECT_EQ(drains_[0], std::make_pair(std::string("a reload: draining"), 3 * kSecond));
  EXPECT_EQ(drains_[1],
            std::make_pair(std::string("the master is gone (it has closed the link): draining"), int64_t{0}));
}

TEST_F(MasterHandlerTest, ADumpIsAskedFor) {
  StartHandled();
  handler_->Dump();
  EXPECT_EQ(dumper_->asked_count().load(), 1u);
}

}  // namespace
}  // namespace greenring::worker
