#include "green/sync/go.h"

#include "green/sync/sync_fixture.h"

namespace greenring::green {
namespace {

class GoTest : public SyncTest {};

TEST_P(GoTest, FunctionStartsWhenTheCurrentGreenThreadParks) {
  Go(&scheduler_, [this] {
    GreenThread* child = Go([this] { trace_.push_back(2); }, {.name = "child"});
    EXPECT_STREQ(child->name(), "child");
    trace_.push_back(1);
    scheduler_.Yield();
    trace_.push_back(3);
  });
  RunToEnd();
  EXPECT_EQ(trace_, (std::vector<int>{1, 2, 3}));
}

TEST_P(GoTest, WithoutARunningSchedulerItNeedsOneAsAnArgument) {
  EXPECT_DEATH(Go([] {}), "Go needs a running scheduler");
}

GREENRING_INSTANTIATE_SYNC_TEST(GoTest);

}  // namespace
}  // namespace greenring::green
