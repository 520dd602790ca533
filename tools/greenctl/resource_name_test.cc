#include "tools/greenctl/resource_name.h"

#include <gtest/gtest.h>

namespace greenring::greenctl {
namespace {

TEST(ResourceNameTest, ShortNamesBecomeFullNames) {
  EXPECT_EQ(*PoolName("web"), "pools/web");
  EXPECT_EQ(*WorkerName("web/3"), "pools/web/workers/3");
  EXPECT_EQ(*RequestName("web/3/17"), "pools/web/workers/3/requests/17");
  EXPECT_EQ(*OperationName("42"), "operations/42");
}

TEST(ResourceNameTest, FullNamesStayAsTheyAre) {
  EXPECT_EQ(*PoolName("pools/web"), "pools/web");
  EXPECT_EQ(*WorkerName("pools/web/workers/3"), "pools/web/workers/3");
  EXPECT_EQ(*RequestName("pools/web/workers/3/requests/17"), "pools/web/workers/3/requests/17");
  EXPECT_EQ(*OperationName("operations/42"), "operations/42");
}

TEST(ResourceNameTest, ANameOfAnotherKindIsRefusedWithAnExample) {
  for (const char* text : {"", "Web", "web/", "web/x", "web/3", "pools/", "workers/3", "1web", "a b", "web/3/17/9"}) {
    const absl::StatusOr<std::string> name = PoolName(text);
    EXPECT_EQ(name.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(name.status().message().find("pools/web"), absl::string_view::npos) << text;
  }
  EXPECT_FALSE(WorkerName("web").ok());
  EXPECT_FALSE(WorkerName("pools/web/requests/3").ok());
  EXPECT_FALSE(RequestName("web/3").ok());
  EXPECT_FALSE(OperationName("operations/a/b").ok());
}

TEST(ResourceNameTest, TheFormTellsTheKind) {
  EXPECT_EQ(*KindOf("web"), ResourceKind::kPool);
  EXPECT_EQ(*KindOf("web/3"), ResourceKind::kWorker);
  EXPECT_EQ(*KindOf("pools/web/workers/3/requests/17"), ResourceKind::kRequest);
  EXPECT_EQ(*KindOf("operations/42"), ResourceKind::kOperation);
  EXPECT_FALSE(KindOf("web/three").ok());
}

TEST(ResourceNameTest, ShortNameIsTheWayBack) {
  EXPECT_EQ(ShortName("pools/web"), "web");
  EXPECT_EQ(ShortName("pools/web/workers/3/requests/17"), "web/3/17");
  EXPECT_EQ(ShortName("operations/42"), "operations/42");
  EXPECT_EQ(PoolOf("pools/web/workers/3"), "pools/web");
  EXPECT_EQ(PoolOf("operations/42"), "");
}

}  // namespace
}  // namespace greenring::greenctl
