#include "control/service/page.h"

#include "absl/strings/escaping.h"
#include "greenring/control/v1/pool_service.pb.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

std::vector<v1::Pool> Pools(const std::string& letters) {
  std::vector<v1::Pool> pools;
  for (const char letter : letters) pools.emplace_back().set_name(std::string(1, letter));
  return pools;
}

// The names on the page of `size` that begins with `token`, which becomes the next one's.
std::string Page(const std::string& letters, int size, std::string* token) {
  const absl::StatusOr<PageStart> start = ParsePage(size, *token, "pools", PageSizes());
  EXPECT_TRUE(start.ok()) << start.status();
  v1::ListPoolsResponse response;
  FillPage(
      Pools(letters), *start, [](const v1::Pool& pool) { return pool.name(); }, response.mutable_pools(),
      response.mutable_next_page_token());
  *token = response.next_page_token();
  std::string names;
  for (const v1::Pool& pool : response.pools()) names += pool.name();
  return names;
}

TEST(PageTest, AListThatFitsHasNoNextPage) {
  std::string token;
  EXPECT_EQ(Page("abc", 3, &token), "abc");
  EXPECT_EQ(token, "");
  EXPECT_EQ(Page("", 3, &token), "");
  EXPECT_EQ(token, "");
}

TEST(PageTest, TheNextPageBeginsAfterTheLastItemEvenIfThatIsGone) {
  std::string token;
  EXPECT_EQ(Page("bdf", 2, &token), "bd");
  EXPECT_EQ(Page("abcef", 2, &token), "ef");
  EXPECT_EQ(token, "");
}

TEST(PageTest, SizesHaveADefaultAndAMaximum) {
  EXPECT_EQ(ParsePage(0, "", "pools", {50, 1000})->size, 50);
  EXPECT_EQ(ParsePage(5000, "", "pools", {50, 1000})->size, 1000);
  EXPECT_FALSE(ParsePage(-1, "", "pools", {50, 1000}).ok());
}

TEST(PageTest, ATokenIsForItsList) {
  const std::string token = MakePageToken("pools", "web");
  EXPECT_EQ(ParsePage(0, token, "pools", {})->after, "web");
  EXPECT_FALSE(ParsePage(0, token, "workers", {}).ok());
  EXPECT_FALSE(ParsePage(0, token, "pool", {}).ok());
  EXPECT_FALSE(ParsePage(0, token.substr(1), "pools", {}).ok());
  EXPECT_FALSE(ParsePage(0, absl::WebSafeBase64Escape("2\npools\nweb"), "pools", {}).ok()) << "of another version";
}

}  // namespace
}  // namespace greenring::control
