#include "worker/route_table.h"

#include "gtest/gtest.h"

namespace greenring::worker {
namespace {

int PoolOf(const RouteTable& routes, std::string_view host, std::string_view path) {
  return routes.Find(host, path).pool;
}

TEST(RouteTableTest, WithoutRoutesNothingMatches) {
  const RouteTable routes;
  EXPECT_TRUE(routes.empty());
  EXPECT_EQ(PoolOf(routes, "h", "/"), RouteTable::kNoPool);
}

TEST(RouteTableTest, AHostWinsOverAPathWhateverTheOrder) {
  RouteTable routes;
  routes.Add({}, 0);
  routes.Add({.path_prefix = "/a/long/path"}, 1);
  routes.Add({.host = "shop.example.com"}, 2);
  EXPECT_EQ(PoolOf(routes, "shop.example.com", "/a/long/path"), 2);
  EXPECT_EQ(PoolOf(routes, "other.example.com", "/a/long/path"), 1);
  EXPECT_EQ(PoolOf(routes, "other.example.com", "/a"), 0);
  EXPECT_EQ(PoolOf(routes, "", "/"), 0);
}

TEST(RouteTableTest, AnExactHostWinsOverAWildcardAndALongerOneOverAShorter) {
  RouteTable routes;
  routes.Add({.host = "*.example.com"}, 1);
  routes.Add({.host = "*.eu.example.com"}, 2);
  routes.Add({.host = "a.eu.example.com"}, 3);
  EXPECT_EQ(PoolOf(routes, "a.eu.example.com", "/"), 3);
  EXPECT_EQ(PoolOf(routes, "b.eu.example.com", "/"), 2);
  EXPECT_EQ(PoolOf(routes, "x.y.example.com", "/"), 1);
  EXPECT_EQ(PoolOf(routes, "example.com", "/"), RouteTable::kNoPool) << "not below itself";
  EXPECT_EQ(PoolOf(routes, "badexample.com", "/"), RouteTable::kNoPool);
}

TEST(RouteTableTest, TheLongestPathWinsAndCoversWholeSegments) {
  RouteTable routes;
  routes.Add({.path_prefix = "/a"}, 1);
  routes.Add({.path_prefix = "/a/b/"}, 2);
  EXPECT_EQ(PoolOf(routes, "", "/a"), 1);
  EXPECT_EQ(PoolOf(routes, "", "/a/"), 1);
  EXPECT_EQ(PoolOf(routes, "", "/ab"), RouteTable::kNoPool);
  EXPECT_EQ(PoolOf(routes, "", "/a/b"), 2);
  EXPECT_EQ(PoolOf(routes, "", "/a/b/c"), 2);
  EXPECT_EQ(routes.Find("", "/a/b/c").prefix_bytes, 4u);
  EXPECT_EQ(routes.Find("", "/a/x").prefix_bytes, 2u);
}

TEST(RouteTableTest, OfOnePoolsRoutesOnlyTheMostSpecificWins) {
  RouteTable routes;
  routes.Add({.path_prefix = "/a"}, RouteTable::kOwnPool);
  routes.Add({.path_prefix = "/a/b"}, 1);
  routes.Add({.host = "h"}, 2);
  EXPECT_EQ(routes.FindOf(RouteTable::kOwnPool, "h", "/a/b").pool, RouteTable::kOwnPool);
  EXPECT_EQ(routes.FindOf(RouteTable::kOwnPool, "h", "/a/b").prefix_bytes, 2u);
  EXPECT_EQ(routes.FindOf(RouteTable::kOwnPool, "h", "/x").pool, RouteTable::kNoPool);
  EXPECT_EQ(routes.FindOf(1, "", "/a/b").prefix_bytes, 4u);
}

TEST(RouteTableTest, HostsAreComparedWithoutCasePortAndFinalDot) {
  RouteTable routes;
  routes.Add({.host = "Example.COM"}, 1);
  routes.Add({.host = "[::1]"}, 2);
  EXPECT_EQ(PoolOf(routes, "EXAMPLE.com:8080", "/"), 1);
  EXPECT_EQ(PoolOf(routes, "example.com.", "/"), 1);
  EXPECT_EQ(PoolOf(routes, "[::1]:80", "/"), 2);
  EXPECT_EQ(PoolOf(routes, "[::1]", "/"), 2);
  EXPECT_EQ(PoolOf(routes, "[::2]", "/"), RouteTable::kNoPool);
  EXPECT_EQ(PoolOf(routes, ":80", "/"), RouteTable::kNoPool);
}

TEST(RouteTableTest, AnEncodedPathIsTheSamePath) {
  RouteTable routes;
  routes.Add({}, 0);
  routes.Add({.path_prefix = "/admin"}, 1);
  EXPECT_EQ(PoolOf(routes, "", "/%61dmin/x"), 1);
  EXPECT_EQ(PoolOf(routes, "", "/admin%2fx"), 1) << "as WSGI shows it: /admin/x";
  EXPECT_EQ(PoolOf(routes, "", "/admi"), 0);
}

TEST(RouteTableTest, OfTwoThatAreTheSameTheFirstWins) {
  RouteTable routes;
  routes.Add({.path_prefix = "/a"}, 1);
  routes.Add({.path_prefix = "/a"}, 2);
  EXPECT_EQ(PoolOf(routes, "", "/a"), 1);
}

TEST(RouteTableTest, TheAsteriskOfOptionsBelongsToWhoTakesAnyPath) {
  RouteTable routes;
  routes.Add({.path_prefix = "/a"}, 1);
  EXPECT_EQ(PoolOf(routes, "h", "*"), RouteTable::kNoPool);
  routes.Add({.host = "h"}, 2);
  EXPECT_EQ(PoolOf(routes, "h", "*"), 2);
}

}  // namespace
}  // namespace greenring::worker
