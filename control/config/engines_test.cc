#include "control/config/engines.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/config/flag_table.h"
#include "control/config/pool_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using testing::ElementsAre;

TEST(EnginesTest, ThreeAreThereAndTheOthersReserved) {
  EXPECT_THAT(AvailableEngines(), ElementsAre(v1::UCONTEXT, v1::FCONTEXT, v1::THREAD));
  EXPECT_EQ(AvailableEnginesText(), "UCONTEXT, FCONTEXT and THREAD");
  EXPECT_FALSE(IsAvailable(v1::GREENLET));
  EXPECT_FALSE(IsAvailable(v1::ENGINE_UNSPECIFIED));
  EXPECT_FALSE(IsAvailable(static_cast<v1::Engine>(77)));
}

TEST(EnginesTest, APoolMayHaveThoseAndNoOther) {
  for (int number = v1::Engine_MIN; number <= v1::Engine_MAX + 1; ++number) {
    v1::Pool pool;
    pool.set_name("web");
    pool.mutable_application()->set_target("a");
    pool.set_engine(static_cast<v1::Engine>(number));
    const bool is_default = pool.engine() == v1::ENGINE_UNSPECIFIED;
    FillDefaults(&pool);
    EXPECT_EQ(Validate(pool).empty(), is_default || IsAvailable(static_cast<v1::Engine>(number))) << number;
  }
}

TEST(EnginesTest, TheFlagsHelpNamesThem) {
  std::string names;
  for (const v1::Engine engine : AvailableEngines()) {
    absl::StrAppend(&names, names.empty() ? "" : "|", absl::AsciiStrToLower(v1::Engine_Name(engine)));
  }
  for (const Flag& flag : Flags()) {
    if (std::string(flag.name) != "engine") continue;
    EXPECT_EQ(flag.value, names);
  }
}

}  // namespace
}  // namespace greenring::control
