#include "green/context.h"

#include <cfenv>
#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace greenring::green {
namespace {

constexpr size_t kStackBytes = 64 * 1024;

class ContextTest : public ::testing::TestWithParam<Engine> {
 public:
  void Make(Context* context, Context::Entry entry) {
    stacks_.push_back(std::make_unique<std::byte[]>(kStackBytes));
    context->Make(GetParam(), stacks_.back().get(), kStackBytes, entry, this);
  }
  void Switch(Context* from, Context* to) { SwitchContext(GetParam(), from, to); }

  std::vector<std::unique_ptr<std::byte[]>> stacks_;
  Context main_, first_, second_;
  std::vector<int> trace_;
};

TEST_P(ContextTest, EntryRunsOnItsOwnStackAndComesBackWhereItLeft) {
  Make(&first_, [](void* argument) {
    ContextTest* test = static_cast<ContextTest*>(argument);
    // Not a local's address: ASan may keep locals elsewhere.
    const std::byte* address = static_cast<std::byte*>(__builtin_frame_address(0));
    EXPECT_GE(address, test->stacks_[0].get());
    EXPECT_LT(address, test->stacks_[0].get() + kStackBytes);
    for (int round = 0;; ++round) {
      test->trace_.push_back(round);
      test->Switch(&test->first_, &test->main_);
    }
  });
  for (int i = 0; i < 3; ++i) Switch(&main_, &first_);
  EXPECT_EQ(trace_, (std::vector<int>{0, 1, 2}));
}

TEST_P(ContextTest, TwoContextsSwitchDirectlyToEachOther) {
  Make(&first_, [](void* argument) {
    ContextTest* test = static_cast<ContextTest*>(argument);
    for (int i = 0; i < 3; ++i) {
      test->trace_.push_back(1);
      test->Switch(&test->first_, &test->second_);
    }
    test->Switch(&test->first_, &test->main_);
  });
  Make(&second_, [](void* argument) {
    ContextTest* test = static_cast<ContextTest*>(argument);
    for (;;) {
      test->trace_.push_back(2);
      test->Switch(&test->second_, &test->first_);
    }
  });
  Switch(&main_, &first_);
  EXPECT_EQ(trace_, (std::vector<int>{1, 2, 1, 2, 1, 2}));
}

TEST_P(ContextTest, CalleeSavedStateSurvivesManySwitches) {
  Make(&first_, [](void* argument) {
    ContextTest* test = static_cast<ContextTest*>(argument);
    uint64_t sum = 0;
    for (uint64_t i = 0;; ++i) {
      sum += i * i;
      test->trace_.push_back(static_cast<int>(sum % 1000003));
      test->Switch(&test->first_, &test->main_);
    }
  });
  uint64_t sum = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    Switch(&main_, &first_);
    sum += i * i;
    ASSERT_EQ(trace_[i], static_cast<int>(sum % 1000003));
  }
}

TEST_P(ContextTest, ExceptionsAreCaughtInsideTheirContext) {
  Make(&first_, [](void* argument) {
    ContextTest* test = static_cast<ContextTest*>(argument);
    for (;;) {
      try {
        throw 42;
      } catch (int value) {
        test->trace_.push_back(value);
      }
      test->Switch(&test->first_, &test->main_);
    }
  });
  Switch(&main_, &first_);
  Switch(&main_, &first_);
  EXPECT_EQ(trace_, (std::vector<int>{42, 42}));
}

TEST(EngineTest, NamesRoundTripAndUnknownNamesAreRefused) {
  for (Engine engine : {Engine::kUcontext, Engine::kFcontext}) EXPECT_EQ(EngineFromName(EngineName(engine)), engine);
  EXPECT_FALSE(EngineFromName("gevent").has_value());
  EXPECT_FALSE(EngineFromName("").has_value());
}

INSTANTIATE_TEST_SUITE_P(Engines, ContextTest, ::testing::Values(Engine::kUcontext, Engine::kFcontext),
                         [](const auto& info) { return std::string(EngineName(info.param)); });

}  // namespace
}  // namespace greenring::green
