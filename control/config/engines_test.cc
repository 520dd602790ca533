#include "control/config/engines.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/config/flag_table.h"
#include "control/config/pool_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using testing::ElementsAre;

TEST(EnginesTest, TheyComeInTheOrderOfTheirNumbers) {
  EXPECT_THAT(AvailableEngines(), ElementsAre(v1::UCONTEXT, v1::FCONTEXT, v1::THREAD, v1::GREENLET, v1::GEVENT));
}

TEST(EnginesTest, APoolMayHaveThoseAndNoOther) {
  for (int number = v1::Engine_MIN; number <= v1::Engine_MAX + 1; ++number) {
    v1::Pool pool;
    pool.set_name("web");
    pool.mutable_application()->set_target("a");
    pool.set_engine(static_cast<v1::Engine>(number));
    const bool is_default = pool.engine() == v1::ENGINE_UNSPECIFIED;
    FillDefaults(&pool);
    const std::vector<v1::Engine> engines = AvailableEngines();
    const bool is_available = std::count(engines.begin(), engines.end(), static_cast<v1::Engine>(number)) == 1;
    EXPECT_EQ(Validate(pool).empty(), is_default || is_available) << number;
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
