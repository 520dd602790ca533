#include "control/route_map.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

v1::Route RouteOf(const std::string& host, const std::string& path_prefix = "") {
  v1::Route route;
  route.set_host(host);
  route.set_path_prefix(path_prefix);
  return route;
}

// "inbox; b; :80 host/path>-1; ...": what its workers are told.
std::string Told(const std::vector<RoutedPool>& pools, const std::string& name) {
  const worker::v1::ToWorker::Routes routes = RoutesOf(pools).at(name);
  std::string text = routes.has_inbox() ? "inbox;" : "";
  for (const std::string& pool : routes.pools()) absl::StrAppend(&text, " ", pool, ";");
  for (const auto& entry : routes.entries()) {
    absl::StrAppend(&text, " ", entry.address(), " ", entry.route().host(), entry.route().path_prefix(), ">",
                    entry.pool(), ";");
  }
  return text;
}

TEST(RouteMapTest, PoolsWithAddressesOfTheirOwnAndNoRoutesAreToldNothing) {
  const std::vector<RoutedPool> pools = {{.name = "a", .addresses = {":80", ":81"}},
                                         {.name = "b", .addresses = {":82"}}};
  EXPECT_EQ(Told(pools, "a"), "");
  EXPECT_EQ(Told(pools, "b"), "");
}

TEST(RouteMapTest, EachOfThoseThatShareAnAddressKnowsAllRoutesThere) {
  const std::vector<RoutedPool> pools = {
      {.name = "a", .addresses = {":80", ":81"}},
      {.name = "b", .routes = {RouteOf("h", "/b"), RouteOf("", "/c")}, .addresses = {":80"}}};
  EXPECT_EQ(Told(pools, "a"), "inbox; b; :80 >-1; :80 h/b>0; :80 /c>0;");
  EXPECT_EQ(Told(pools, "b"), "inbox; a; :80 >0; :80 h/b>-1; :80 /c>-1;");
}

TEST(RouteMapTest, APoolThatSharesNothingHasItsOwnRoutesAndNoInbox) {
  EXPECT_EQ(Told({{.name = "a", .routes = {RouteOf("h")}, .addresses = {":80"}}}, "a"), " :80 h>-1;");
}

TEST(RouteMapTest, ThePoolsOfSeveralSharedAddressesAreNumberedOnce) {
  const std::vector<RoutedPool> pools = {{.name = "a", .routes = {RouteOf("a")}, .addresses = {":80", ":81"}},
                                         {.name = "b", .addresses = {":81"}},
                                         {.name = "c", .routes = {RouteOf("c")}, .addresses = {":80", ":81"}}};
  EXPECT_EQ(Told(pools, "a"), "inbox; c; b; :80 a>-1; :80 c>0; :81 a>-1; :81 >1; :81 c>0;");
  EXPECT_EQ(Told(pools, "b"), "inbox; a; c; :81 a>0; :81 >-1; :81 c>1;");
}

// What its workers have accepted, or still accept, is handed on; nothing comes to it any more.
TEST(RouteMapTest, ADeletedPoolHasNoRoutesButKnowsThoseOfOthers) {
  const std::vector<RoutedPool> pools = {
      {.name = "a", .addresses = {":80"}},
      {.name = "b", .routes = {RouteOf("b")}, .addresses = {":80"}, .deleting = true}};
  EXPECT_EQ(Told(pools, "a"), "inbox; :80 >-1;");
  EXPECT_EQ(Told(pools, "b"), "inbox; a; :80 >0;");
}

TEST(RouteMapTest, WhereAllPoolsAreDeletedRoutesStayAsTheyWere) {
  std::vector<RoutedPool> pools = {{.name = "a", .addresses = {":80"}},
                                   {.name = "b", .routes = {RouteOf("b")}, .addresses = {":80"}}};
  const std::string a = Told(pools, "a"), b = Told(pools, "b");
  for (RoutedPool& pool : pools) pool.deleting = true;
  EXPECT_EQ(Told(pools, "a"), a);
  EXPECT_EQ(Told(pools, "b"), b);
}

TEST(RouteMapTest, APoolWithoutAddressesIsToldNothing) {
  EXPECT_EQ(Told({{.name = "a", .routes = {RouteOf("a")}}, {.name = "b"}}, "a"), "");
}

}  // namespace
}  // namespace greenring::control
