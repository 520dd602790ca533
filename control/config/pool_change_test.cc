#include <set>
#include <string>
#include <vector>

#include "control/config/field_violations.h"
#include "control/config/pool_config.h"
#include "control/config/pool_fields.h"
#include "control/config/quantities.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/field_mask_util.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

v1::Pool PoolOf(const std::string& text) {
  v1::Pool pool;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &pool)) << text;
  return pool;
}

v1::Pool Filled(const std::string& text) {
  v1::Pool pool = PoolOf(text);
  FillDefaults(&pool);
  return pool;
}

google::protobuf::FieldMask Mask(const std::string& paths) {
  google::protobuf::FieldMask mask;
  google::protobuf::util::FieldMaskUtil::FromString(paths, &mask);
  return mask;
}

std::string Merged(const std::string& old, const std::string& changes, const std::string& mask) {
  const absl::StatusOr<v1::Pool> merged = Merge(PoolOf(old), PoolOf(changes), Mask(mask));
  return merged.ok() ? merged->ShortDebugString() : std::string(merged.status().message());
}

TEST(PoolMergeTest, OnlyWhatTheMaskNamesIsTaken) {
  EXPECT_EQ(Merged("name: 'pools/a' workers: 1 async_cores: 2", "name: 'pools/b' workers: 3 async_cores: 4", "workers"),
            "name: \"pools/a\" workers: 3 async_cores: 2");
  EXPECT_EQ(Merged("timeouts { io { seconds: 1 } drain { seconds: 2 } }", "timeouts { drain { nanos: 5 } }",
                   "timeouts.drain"),
            "timeouts { io { seconds: 1 } drain { nanos: 5 } }");
  EXPECT_EQ(Merged("", "timeouts { drain { seconds: 3 } }", "timeouts.drain"), "timeouts { drain { seconds: 3 } }");
}

TEST(PoolMergeTest, WhatIsNamedButNotSetIsCleared) {
  EXPECT_EQ(Merged("workers: 4 user: 'www' queue_depth_max: 0", "", "workers,user,queue_depth_max"), "");
  EXPECT_EQ(Merged("timeouts { io { seconds: 1 } drain { seconds: 2 } }", "timeouts { io { seconds: 9 } }", "timeouts"),
            "timeouts { io { seconds: 9 } }");
}

TEST(PoolMergeTest, ListsAndMapsAreReplaced) {
  EXPECT_EQ(Merged("application { target: 'a' python_path: 'x' environment { key: 'A' value: '1' } }",
                   "application { python_path: 'y' environment { key: 'B' value: '2' } }",
                   "application.python_path,application.environment"),
            "application { target: \"a\" python_path: \"y\" environment { key: \"B\" value: \"2\" } }");
  EXPECT_EQ(Merged("listeners { address: ':1' } listeners { address: ':2' }", "listeners { address: ':3' }", ""),
            "listeners { address: \":3\" }");
}

TEST(PoolMergeTest, AnEmptyMaskTakesEverythingThatIsSet) {
  EXPECT_EQ(Merged("workers: 1 async_cores: 2 timeouts { io { seconds: 1 } }",
                   "name: 'pools/x' etag: 'e' generation: 7 status { restarts: 1 } workers: 3 queue_depth_max: 0 "
                   "timeouts { drain {} }",
                   ""),
            "workers: 3 async_cores: 2 queue_depth_max: 0 timeouts { io { seconds: 1 } drain { } }");
}

TEST(PoolMergeTest, AStarReplacesAllButWhatIsNotTheClients) {
  EXPECT_EQ(
      Merged("name: 'pools/a' generation: 4 etag: 'x' workers: 5 user: 'u' drained: true logging { access_log: 'a' }",
             "name: 'pools/b' generation: 9 async_cores: 6", "*"),
      "name: \"pools/a\" generation: 4 etag: \"x\" async_cores: 6 logging { } drained: true");
}

TEST(PoolMergeTest, TheLastWordOnTheStackSizeCounts) {
  EXPECT_EQ(Merged("stack_size_bytes: 262144", "stack_pages: 16", ""), "stack_pages: 16");
  EXPECT_EQ(Merged("stack_size_bytes: 262144", "stack_pages: 16", "stack_pages"), "stack_pages: 16");
  EXPECT_EQ(Merged("stack_pages: 16", "stack_size_bytes: 65536", "stack_size_bytes"), "stack_size_bytes: 65536");
}

TEST(PoolMergeTest, PathsThatCannotBeChangedAreViolationsAllAtOnce) {
  const absl::StatusOr<v1::Pool> merged = Merge(
      PoolOf(""), PoolOf(""), Mask("async_core,timeouts.drian,status.state,name,drained,timeouts.request_by_path.x"));
  ASSERT_FALSE(merged.ok());
  const std::vector<FieldViolation> violations = FieldViolationsOf(merged.status());
  std::vector<std::string> descriptions;
  for (const FieldViolation& violation : violations) {
    EXPECT_EQ(violation.field, "update_mask");
    descriptions.push_back(violation.description);
  }
  EXPECT_EQ(descriptions,
            (std::vector<std::string>{
                "a pool has no field \"async_core\" (did you mean async_cores?)",
                "a pool has no field \"timeouts.drian\" (did you mean timeouts.drain?)",
                "status.state is output only",
                "name never changes: create another pool",
                "drained is changed by DrainPool and ResumePool",
                "a pool has no field \"timeouts.request_by_path.x\" (did you mean timeouts.request_by_path?)",
            }));
}

// The leaves of the descriptor, as deep as messages that are not repeated go.
void AddLeaves(const google::protobuf::Descriptor& type, const std::string& prefix, std::set<std::string>* leaves) {
  for (int i = 0; i < type.field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *type.field(i);
    const bool is_group = field.message_type() != nullptr && !field.is_repeated() &&
                          field.message_type()->file()->package() != "google.protobuf";
    if (is_group) {
      AddLeaves(*field.message_type(), prefix + field.name() + ".", leaves);
    } else {
      leaves->insert(prefix + field.name());
    }
  }
}

TEST(PoolFieldsTest, EveryFieldOfAPoolIsInTheTableOnce) {
  std::set<std::string> leaves;
  AddLeaves(*v1::Pool::descriptor(), "", &leaves);
  ASSERT_GT(leaves.size(), 50u);
  for (const std::string& leaf : leaves) {
    int covered = 0;
    for (const PoolField& field : PoolFields()) {
      if (leaf == field.path || leaf.rfind(field.path + ".", 0) == 0) ++covered;
    }
    EXPECT_EQ(covered, 1) << leaf << " is in PoolFields() so many times";
  }
  for (const PoolField& field : PoolFields()) {
    EXPECT_TRUE(google::protobuf::util::FieldMaskUtil::IsValidPath<v1::Pool>(field.path)) << field.path;
  }
}

TEST(PoolFieldsTest, AMessageOfSeveralKindsIsWhatCostsMost) {
  EXPECT_EQ(KindOfField("timeouts.drain"), PoolFieldKind::kLive);
  EXPECT_EQ(KindOfField("logging.format"), PoolFieldKind::kLive);
  EXPECT_EQ(KindOfField("logging"), PoolFieldKind::kStart);
  EXPECT_EQ(KindOfField("engine"), PoolFieldKind::kCores);
}

TEST(PoolChangeTest, WhatRunningWorkersTakeIsLive) {
  const v1::Pool pool = Filled("name: 'web' application { target: 'a' }");
  for (const char* live : {"workers: 2", "async_cores: 2", "engine: THREAD", "stack_size_bytes: 65536",
                           "queue_depth_max: 0", "timeouts { drain {} }", "limits { request_fields: 1 }",
                           "recycling { requests_max: 1 }", "routes { host: 'h' }", "logging { format: JSON }",
                           "engine: GEVENT", "probes { liveness_path: '/l' }", "cancel_on_disconnect: true"}) {
    EXPECT_EQ(KindOfChange(pool, *Merge(pool, PoolOf(live), {})), ChangeKind::kLive) << live;
  }
}

TEST(PoolChangeTest, EverythingElseNeedsNewWorkers) {
  const v1::Pool pool = Filled("name: 'web' application { target: 'a' }");
  for (const char* start :
       {"application { target: 'b' }", "listeners { address: ':1' }", "python_threads: GREEN", "time_slice {}",
        "audit { enabled: true }", "cpu_affinity { policy: SPREAD }", "logging { access_log: 'x' }", "user: 'root'",
        "workers: 2 group: 'root'", "uwsgi_api { enabled: true }", "gevent { monkey_patch: true }"}) {
    EXPECT_EQ(KindOfChange(pool, *Merge(pool, PoolOf(start), {})), ChangeKind::kStart) << start;
  }
}

TEST(PoolChangeTest, WhatIsNoConfigurationIsNoChange) {
  const v1::Pool pool = Filled("name: 'web' application { target: 'a' }");
  v1::Pool other = pool;
  other.set_generation(5);
  other.set_etag("x");
  other.mutable_status()->set_restarts(1);
  EXPECT_EQ(KindOfChange(pool, other), ChangeKind::kNone);
  EXPECT_FALSE(IsCoresOnly(pool, other));
}

TEST(PoolChangeTest, ACanaryIsForCores) {
  const v1::Pool pool = Filled("name: 'web' application { target: 'a' }");
  const auto cores_only = [&pool](const char* text) { return IsCoresOnly(pool, *Merge(pool, PoolOf(text), {})); };
  EXPECT_TRUE(cores_only("engine: THREAD async_cores: 5 stack_size_bytes: 65536"));
  EXPECT_FALSE(cores_only("engine: THREAD workers: 2"));
  EXPECT_FALSE(cores_only("timeouts { drain {} }"));
  EXPECT_FALSE(cores_only("user: 'root' engine: THREAD"));
  EXPECT_TRUE(cores_only("engine: GEVENT"));
}

TEST(EtagTest, TheSameConfigurationHasTheSameText) {
  v1::Pool a = Filled("application { target: 'a' }");
  v1::Pool b = a;
  // Maps have no order of their own.
  for (int i = 0; i < 50; ++i) (*a.mutable_application()->mutable_environment())[std::to_string(i)] = "x";
  for (int i = 49; i >= 0; --i) (*b.mutable_application()->mutable_environment())[std::to_string(i)] = "x";
  b.set_generation(3);
  b.set_etag("before");
  b.mutable_status()->set_message("starting");
  b.mutable_update_time()->set_seconds(4);
  EXPECT_EQ(EtagOf(a), EtagOf(b));
  b.set_workers(2);
  EXPECT_NE(EtagOf(a), EtagOf(b));
}

TEST(EtagTest, ItIsTheSameInEveryProcess) {
  EXPECT_EQ(EtagOf(PoolOf("name: 'pools/web' workers: 2 application { target: 'shop:app' }")), "b71ab4ce374f4758");
}

}  // namespace
}  // namespace greenring::control
