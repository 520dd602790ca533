#include "green/context.h"

#include <cfenv>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace greenring::green {
namespace {

constexpr size_t kStackBytes = 64 * 1024;

// Each test with both contexts of one engine, and of two.
class ContextTest : public ::testing::TestWithParam<std::pair<Engine, Engine>> {
 public:
  void Make(Context* context, Context::Entry entry) {
    stacks_.push_back(std::make_unique<std::byte[]>(kStackBytes));
    const Engine engine = context == &first_ ? GetParam().first : GetParam().second;
    context->Make(engine, stacks_.back().get(), kStackBytes, entry, this);
  }
  void Switch(Context* from, Context* to) { SwitchContext(from, to); }

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

// Any context may leave for any other, however that was suspended: a random walk through twelve of them.
TEST(MixedEnginesTest, LocalsSurviveRandomSwitchesBetweenAllEngines) {
  static constexpr size_t kContexts = 12;
  static constexpr int kSwitches = 20000;
  struct World {
    Context main;
    Context contexts[kContexts];
    std::mt19937 random{1};
    int left = kSwitches;
    size_t running = 0;
    uint64_t failures = 0;

    void SwitchFrom(Context* from) {
      if (--left <= 0) {
        SwitchContext(from, &main);
        return;
      }
      Context* to = from;
      while (to == from) {
        const size_t index = random() % (kContexts + 1);
        to = index == kContexts ? &main : &contexts[index];
        running = index;
      }
      SwitchContext(from, to);
    }
  };
  World world;
  std::vector<std::unique_ptr<std::byte[]>> stacks;
  for (size_t i = 0; i < kContexts; ++i) {
    stacks.push_back(std::make_unique<std::byte[]>(kStackBytes));
    const Engine engine = i % 2 == 0 ? Engine::kUcontext : Engine::kFcontext;
    world.contexts[i].Make(
        engine, stacks.back().get(), kStackBytes,
        [](void* argument) {
          World* world = static_cast<World*>(argument);
          const size_t self = world->running;
          double product = 1.0 + static_cast<double>(self);
          for (uint64_t count = 0;; ++count) {
            uint64_t values[8];
            for (size_t j = 0; j < 8; ++j) values[j] = self * 1000003 + count * 8 + j;
            world->SwitchFrom(&world->contexts[self]);
            for (size_t j = 0; j < 8; ++j) {
              if (values[j] != self * 1000003 + count * 8 + j) ++world->failures;
            }
            product *= 1.0000001;
            if (product < 1.0 + static_cast<double>(self)) ++world->failures;
          }
        },
        &world);
  }
  while (world.left > 0) world.SwitchFrom(&world.main);
  EXPECT_EQ(world.failures, 0u);
}

#if defined(__x86_64__)
TEST(MixedEnginesTest, FcontextKeepsItsRoundingAcrossASwitchToUcontext) {
  struct World {
    Context main, rounding, other;
    int found = -1;
  };
  World world;
  auto first = std::make_unique<std::byte[]>(kStackBytes), second = std::make_unique<std::byte[]>(kStackBytes);
  world.rounding.Make(
      Engine::kFcontext, first.get(), kStackBytes,
      [](void* argument) {
        World* world = static_cast<World*>(argument);
        std::fesetround(FE_DOWNWARD);
        SwitchContext(&world->rounding, &world->other);
        world->found = std::fegetround();
        SwitchContext(&world->rounding, &world->main);
      },
      &world);
  world.other.Make(
      Engine::kUcontext, second.get(), kStackBytes,
      [](void* argument) {
        World* world = static_cast<World*>(argument);
        std::fesetround(FE_TONEAREST);
        SwitchContext(&world->other, &world->rounding);
      },
      &world);
  SwitchContext(&world.main, &world.rounding);
  std::fesetround(FE_TONEAREST);
  EXPECT_EQ(world.found, FE_DOWNWARD);
}
#endif

INSTANTIATE_TEST_SUITE_P(
    Engines, ContextTest,
    ::testing::Values(std::pair(Engine::kUcontext, Engine::kUcontext), std::pair(Engine::kUcontext, Engine::kFcontext),
                      std::pair(Engine::kFcontext, Engine::kUcontext), std::pair(Engine::kFcontext, Engine::kFcontext)),
    [](const auto& info) {
      return std::string(EngineName(info.param.first)) + "_" + std::string(EngineName(info.param.second));
    });

}  // namespace
}  // namespace greenring::green
