#include "control/desired_state.h"

#include <stdlib.h>

#include "control/config/pool_config.h"
#include "control/config/state_directory.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

v1::Pool PoolOf(const std::string& name, const std::string& address) {
  v1::Pool pool;
  pool.set_name("pools/" + name);
  pool.mutable_application()->set_target("shop:app");
  pool.add_listeners()->set_address(address);
  FillDefaults(&pool);
  return pool;
}

TEST(DesiredStateTest, WithoutAnythingKeptTheFileHolds) {
  v1::Configuration file;
  *file.add_pools() = PoolOf("web", "127.0.0.1:8000");
  const DesiredState state = CombineWithFile(file.pools(), {});
  EXPECT_EQ(state.pools.size(), 1u);
  EXPECT_TRUE(state.touched.empty());
  EXPECT_TRUE(state.warnings.empty());
  EXPECT_EQ(state.ToKeep({state.pools.at("pools/web")}).pools_size(), 0);
}

// Also when another pool has the address of one that was deleted.
TEST(DesiredStateTest, WhatIsKeptCanBeLoadedAgain) {
  char path[] = "/tmp/greenring-state-XXXXXX";
  ASSERT_NE(mkdtemp(path), nullptr);
  const auto directory = StateDirectory::Open(path);
  ASSERT_TRUE(directory.ok()) << directory.status();

  DesiredState state;
  state.touched = {"pools/new"};
  v1::Pool changed = PoolOf("new", "127.0.0.1:8000");
  changed.set_generation(7);
  changed.set_drained(true);
  state.deleted["pools/old"] = PoolOf("old", "127.0.0.1:8000");
  ASSERT_TRUE((*directory)->Save(state.ToKeep({changed, PoolOf("untouched", "127.0.0.1:8001")})).ok());

  const auto kept = (*directory)->Load();
  ASSERT_TRUE(kept.ok()) << kept.status();
  ASSERT_TRUE(kept->has_value());
  v1::Configuration file;
  *file.add_pools() = PoolOf("old", "127.0.0.1:8002");
  *file.add_pools() = PoolOf("untouched", "127.0.0.1:8001");
  const DesiredState next = CombineWithFile(file.pools(), **kept);
  EXPECT_EQ(next.pools.size(), 2u);
  EXPECT_TRUE(next.pools.contains("pools/untouched"));
  EXPECT_EQ(next.pools.at("pools/new").generation(), 7);
  EXPECT_TRUE(next.pools.at("pools/new").drained());
  EXPECT_EQ(next.touched, std::set<std::string>{"pools/new"});
  EXPECT_TRUE(next.deleted.contains("pools/old"));
}

}  // namespace
}  // namespace greenring::control
