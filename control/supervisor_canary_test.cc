// Changes that are tried on a share of the cores first.
#include <signal.h>

#include "control/config/field_violations.h"
#include "control/supervisor_fixture.h"

namespace greenring::control {
namespace {

class SupervisorCanaryTest : public SupervisorFixture {
 protected:
  static v1::Canary Canary() {
    v1::Canary canary;
    canary.set_percent(25);
    canary.mutable_duration()->set_seconds(30);
    return canary;
  }

  absl::StatusOr<v1::Operation> TryFcontext() {
    const v1::Canary canary = Canary();
    return Update("engine: FCONTEXT", &canary);
  }

  void Serve(int errors_of_canary, int64_t run_time_of_canary_ns) {
    for (int number = 1; number <= 2; ++number) {
      Worker(number)->Serve(2, 250, errors_of_canary, run_time_of_canary_ns);
      Worker(number)->Serve(1, 750, 0, 10 * kMs);
      Worker(number)->SendReport();
    }
  }
};

TEST_F(SupervisorCanaryTest, IsPromotedWhenItDoesAsWell) {
  BeginReady(2);
  const auto operation = TryFcontext();
  timers.Advance(10 * kMs);
  EXPECT_EQ(Worker(1)->canary_percent(), 25);
  EXPECT_EQ(Worker(1)->pool().engine(), v1::FCONTEXT);
  EXPECT_EQ(Web().generation(), 2);
  EXPECT_EQ(Web().status().observed_generation(), 1);
  ASSERT_EQ(Web().status().generations_size(), 2);
  EXPECT_EQ(Web().status().generations(0).generation(), 2);
  EXPECT_EQ(Web().status().generations(0).cores(), 4);
  EXPECT_EQ(Web().status().generations(1).cores(), 12);
  EXPECT_EQ(saved.back().pools(0).engine(), v1::UCONTEXT);  // a restart of the server goes back
  Serve(0, 10 * kMs);
  timers.Advance(29 * kSecond);
  EXPECT_FALSE(Now(operation).done());
  EXPECT_EQ(Now(operation).stage(), "watching the canary on 25% of the cores");
  timers.Advance(2 * kSecond);
  EXPECT_TRUE(Now(operation).done());
  EXPECT_FALSE(Now(operation).has_error());
  EXPECT_EQ(Worker(1)->canary_percent(), 0);
  EXPECT_EQ(Web().status().observed_generation(), 2);
  EXPECT_EQ(saved.back().pools(0).engine(), v1::FCONTEXT);
}

TEST_F(SupervisorCanaryTest, IsRolledBackAtOnceWhenItIsClearlyWorse) {
  BeginReady(2);
  const auto operation = TryFcontext();
  timers.Advance(10 * kMs);
  Serve(50, 10 * kMs);  // the first worker's report is enough
  EXPECT_TRUE(Now(operation).done());
  EXPECT_EQ(Now(operation).error().code(), static_cast<int>(absl::StatusCode::kAborted));
  EXPECT_NE(Now(operation).error().message().find("250 requests with 20.00% errors"), std::string::npos)
      << Now(operation).error().message();
  EXPECT_EQ(Count(v1::Event::CANARY_ROLLED_BACK), 1);
  timers.Advance(10 * kMs);
  EXPECT_EQ(Web().engine(), v1::UCONTEXT);
  EXPECT_EQ(Web().generation(), 3);
  EXPECT_EQ(Worker(2)->pool().engine(), v1::UCONTEXT);
  EXPECT_EQ(Worker(2)->canary_percent(), 0);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
  timers.Advance(60 * kSecond);
  EXPECT_EQ(Web().generation(), 3);
}

TEST_F(SupervisorCanaryTest, IsRolledBackAtTheEndWhenItIsSomewhatWorse) {
  BeginReady(2);
  const auto operation = TryFcontext();
  timers.Advance(10 * kMs);
  Serve(4, 10 * kMs);  // 1.6 %
  EXPECT_FALSE(Now(operation).done());
  timers.Advance(31 * kSecond);
  EXPECT_NE(Now(operation).error().message().find("the canary did worse"), std::string::npos);
  EXPECT_EQ(Web().engine(), v1::UCONTEXT);
}

TEST_F(SupervisorCanaryTest, IsRolledBackWhenAWorkerDies) {
  BeginReady(2);
  const auto operation = TryFcontext();
  timers.Advance(10 * kMs);
  Worker(2)->Die(SIGSEGV);
  timers.Advance(10 * kMs);
  EXPECT_NE(Now(operation).error().message().find("pools/web/workers/2 died: signal 11"), std::string::npos);
  EXPECT_EQ(Web().engine(), v1::UCONTEXT);
  EXPECT_EQ(Web().status().state(), v1::PoolStatus::READY);
}

TEST_F(SupervisorCanaryTest, CanBeCancelled) {
  BeginReady(2);
  const auto operation = TryFcontext();
  timers.Advance(10 * kMs);
  EXPECT_EQ(supervisor->CancelOperation(operation->name(), kCaller)->error().code(), 1);
  timers.Advance(10 * kMs);
  EXPECT_EQ(Worker(1)->pool().engine(), v1::UCONTEXT);
}

TEST_F(SupervisorCanaryTest, ExcludesOtherChanges) {
  BeginReady(2);
  const auto operation = TryFcontext();
  EXPECT_TRUE(absl::IsFailedPrecondition(Update("workers: 3").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(supervisor->ReloadPool("pools/web", kCaller).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(TryFcontext().status()));
  EXPECT_TRUE(supervisor->DrainPool("pools/web", kCaller).ok());
  EXPECT_EQ(Now(operation).error().message().find("the pool is drained"), 0u);
  EXPECT_EQ(Web().engine(), v1::UCONTEXT);
}

TEST_F(SupervisorCanaryTest, AWorkerThatIsRecycledMeanwhileHasACanaryToo) {
  BeginReady(2);
  TryFcontext().IgnoreError();
  timers.Advance(10 * kMs);
  Worker(1)->Unfit("it is old", /*draining=*/false);
  timers.Advance(10 * kMs);
  EXPECT_EQ(Worker(3)->started_with().engine(), v1::UCONTEXT);
  EXPECT_EQ(Worker(3)->pool().engine(), v1::FCONTEXT);
  EXPECT_EQ(Worker(3)->canary_percent(), 25);
}

TEST_F(SupervisorCanaryTest, IsForChangesOfCoresOnly) {
  BeginReady(2);
  const v1::Canary canary = Canary();
  for (const char* changes : {"workers: 3", "application { target: 'shop:new' }", "limits { request_fields: 7 }"}) {
    const absl::Status status = Update(changes, &canary).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << changes;
    EXPECT_EQ(FieldViolationsOf(status)[0].field, "canary");
  }
  v1::Canary whole = Canary();
  whole.set_percent(100);
  EXPECT_EQ(FieldViolationsOf(Update("engine: FCONTEXT", &whole).status())[0].field, "canary.percent");
}

}  // namespace
}  // namespace greenring::control
