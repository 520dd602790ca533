#include "worker/pool_options.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace greenring::worker {
namespace {

using control::v1::Pool;

// With every default filled in, as a master sends it.
Pool Complete() {
  Pool pool;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(
        name: "pools/web"
        application { target: "shop:app" }
        async_cores: 256
        engine: UCONTEXT
        stack_size_bytes: 262144
        queue_depth_max: 1024
        python_threads: OS
        time_slice { nanos: 10000000 }
        audit { threshold { nanos: 10000000 } }
        timeouts {
          request_grace { seconds: 5 }
          keepalive { seconds: 75 }
          header { seconds: 30 }
          io { seconds: 60 }
          drain { seconds: 30 }
          start { seconds: 60 }
        }
        limits { request_line_bytes: 8190 request_fields: 100 request_field_bytes: 8190 }
        logging { error_log: "-" }
      )pb",
      &pool));
  return pool;
}

TEST(PoolOptionsTest, APoolOfDefaultsIsAWorkerOfDefaults) {
  const absl::StatusOr<WorkerOptions> options = OptionsFromPool(Complete());
  ASSERT_TRUE(options.ok()) << options.status();
  const WorkerOptions defaults;
  EXPECT_EQ(options->application, "shop:app");
  EXPECT_TRUE(options->addresses.empty());
  EXPECT_EQ(options->cores.engine, defaults.cores.engine);
  EXPECT_EQ(options->cores.stack_size_bytes, defaults.cores.stack_size_bytes);
  EXPECT_EQ(options->cores.cores_max, defaults.cores.cores_max);
  EXPECT_EQ(options->cores.queue_depth_max, defaults.cores.queue_depth_max);
  EXPECT_EQ(options->python_threads, defaults.python_threads);
  EXPECT_EQ(options->time_slice_ns, defaults.time_slice_ns);
  EXPECT_EQ(options->audit, defaults.audit);
  EXPECT_EQ(options->http.limits.request_line_bytes_max, defaults.http.limits.request_line_bytes_max);
  EXPECT_EQ(options->http.limits.header_count_max, defaults.http.limits.header_count_max);
  EXPECT_EQ(options->http.limits.header_field_bytes_max, defaults.http.limits.header_field_bytes_max);
  EXPECT_EQ(options->http.limits.head_bytes_max, defaults.http.limits.head_bytes_max);
  EXPECT_EQ(options->http.limits.body_bytes_max, defaults.http.limits.body_bytes_max);
  EXPECT_EQ(options->http.keepalive_timeout_ns, defaults.http.keepalive_timeout_ns);
  EXPECT_EQ(options->http.header_timeout_ns, defaults.http.header_timeout_ns);
  EXPECT_EQ(options->http.io_timeout_ns, defaults.http.io_timeout_ns);
  EXPECT_EQ(options->http.request_timeouts.For("/"), kNeverNs);
  EXPECT_EQ(options->http.request_timeout_grace_ns, defaults.http.request_timeout_grace_ns);
  EXPECT_EQ(options->drain_timeout_ns, defaults.drain_timeout_ns);
  EXPECT_EQ(options->access_log, "");
  EXPECT_EQ(options->error_log, "-");
}

TEST(PoolOptionsTest, EveryFieldArrives) {
  Pool pool = Complete();
  ASSERT_TRUE(google::protobuf::TextFormat::MergeFromString(
      R"pb(
        application { working_directory: "/srv" python_path: "a" python_path: "b" virtualenv: "/venv" }
        async_cores: 7
        engine: FCONTEXT
        stack_size_bytes: 65536
        queue_depth_max: 0
        python_threads: GREEN
        time_slice { seconds: 1 nanos: 0 }
        audit {
          enabled: true
          threshold { nanos: 20000000 }
        }
        timeouts {
          request { seconds: 20 }
          request_by_path {
            key: "/export"
            value { seconds: 300 }
          }
          request_by_path {
            key: "/never"
            value {}
          }
          request_grace { seconds: 1 }
          keepalive { seconds: 2 }
          header { seconds: 3 }
          io { seconds: 4 }
          drain { nanos: 5 }
        }
        limits { request_line_bytes: 100 request_fields: 10 request_field_bytes: 32768 request_body_bytes: 1000 }
        logging { access_log: "/a.log" error_log: "/e.log" }
        cancel_on_disconnect: true
        uwsgi_api {
          enabled: true
          options { key: "greeting" value: "hello" }
        }
        gevent { monkey_patch: true }
      )pb",
      &pool));
  const absl::StatusOr<WorkerOptions> options = OptionsFromPool(pool);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->working_directory, "/srv");
  EXPECT_EQ(options->python_path, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options->virtualenv, "/venv");
  EXPECT_EQ(options->cores.cores_max, 7u);
  EXPECT_EQ(options->cores.engine, CoreEngine::kFcontext);
  EXPECT_EQ(options->cores.stack_size_bytes, 65536u);
  EXPECT_EQ(options->cores.queue_depth_max, 0u);
  EXPECT_EQ(options->python_threads, PythonThreads::kGreen);
  EXPECT_EQ(options->time_slice_ns, kNanosecondsPerSecond);
  EXPECT_TRUE(options->audit);
  EXPECT_EQ(options->audit_threshold_ns, 20 * kNanosecondsPerMillisecond);
  EXPECT_EQ(options->http.request_timeouts.For("/"), 20 * kNanosecondsPerSecond);
  EXPECT_EQ(options->http.request_timeouts.For("/export/x"), 300 * kNanosecondsPerSecond);
  EXPECT_EQ(options->http.request_timeouts.For("/never"), kNeverNs);
  EXPECT_EQ(options->http.request_timeout_grace_ns, kNanosecondsPerSecond);
  EXPECT_EQ(options->http.keepalive_timeout_ns, 2 * kNanosecondsPerSecond);
  EXPECT_EQ(options->http.header_timeout_ns, 3 * kNanosecondsPerSecond);
  EXPECT_EQ(options->http.io_timeout_ns, 4 * kNanosecondsPerSecond);
  EXPECT_EQ(options->drain_timeout_ns, 30 * kNanosecondsPerSecond + 5);
  EXPECT_EQ(options->http.limits.request_line_bytes_max, 100u);
  EXPECT_EQ(options->http.limits.header_count_max, 10u);
  EXPECT_EQ(options->http.limits.header_field_bytes_max, 32768u);
  EXPECT_EQ(options->http.limits.body_bytes_max, 1000);
  EXPECT_TRUE(options->http.cancel_on_disconnect);
  EXPECT_TRUE(options->uwsgi_api);
  EXPECT_EQ(options->uwsgi_options, (std::map<std::string, std::string>{{"greeting", "hello"}}));
  EXPECT_TRUE(options->gevent_monkey_patch);
  EXPECT_EQ(options->access_log, "/a.log");
  EXPECT_EQ(options->error_log, "/e.log");
}

TEST(PoolOptionsTest, ATimeSliceOfZeroLetsBe) {
  Pool pool = Complete();
  pool.mutable_time_slice()->set_nanos(0);
  ASSERT_TRUE(OptionsFromPool(pool).ok());
  EXPECT_EQ(OptionsFromPool(pool)->time_slice_ns, 0);
}

TEST(PoolOptionsTest, WhatIsOutOfBoundsIsRefusedByName) {
  const std::vector<std::pair<std::string, std::function<void(Pool*)>>> cases = {
      {"application.target", [](Pool* pool) { pool->mutable_application()->clear_target(); }},
      {"async_cores", [](Pool* pool) { pool->set_async_cores(0); }},
      {"async_cores", [](Pool* pool) { pool->set_async_cores(INT32_MAX); }},
      {"engine", [](Pool* pool) { pool->set_engine(static_cast<control::v1::Engine>(77)); }},
      {"engine", [](Pool* pool) { pool->clear_engine(); }},
      {"stack_size_bytes", [](Pool* pool) { pool->set_stack_size_bytes(INT64_MAX); }},
      {"stack_size_bytes", [](Pool* pool) { pool->set_stack_size_bytes(-1); }},
      {"queue_depth_max", [](Pool* pool) { pool->set_queue_depth_max(-1); }},
      {"time_slice", [](Pool* pool) { pool->mutable_time_slice()->set_nanos(1); }},
      {"time_slice", [](Pool* pool) { pool->mutable_time_slice()->set_seconds(INT64_MAX); }},
      {"audit.threshold",
       [](Pool* pool) {
         pool->mutable_audit()->set_enabled(true);
         pool->mutable_audit()->clear_threshold();
       }},
      {"timeouts.io", [](Pool* pool) { pool->mutable_timeouts()->mutable_io()->set_seconds(-1); }},
      {"timeouts.io", [](Pool* pool) { pool->mutable_timeouts()->mutable_io()->set_nanos(INT32_MIN); }},
      {"timeouts.drain", [](Pool* pool) { pool->mutable_timeouts()->mutable_drain()->set_seconds(INT64_MIN); }},
      {"timeouts.request_by_path",
       [](Pool* pool) { (*pool->mutable_timeouts()->mutable_request_by_path())["export"].set_seconds(1); }},
      {"limits.request_line_bytes", [](Pool* pool) { pool->mutable_limits()->set_request_line_bytes(0); }},
      {"limits.request_fields", [](Pool* pool) { pool->mutable_limits()->set_request_fields(1001); }},
      {"limits.request_body_bytes", [](Pool* pool) { pool->mutable_limits()->set_request_body_bytes(-1); }},
  };
  for (const auto& [field, change] : cases) {
    Pool pool = Complete();
    change(&pool);
    const absl::Status status = OptionsFromPool(pool).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << field;
    EXPECT_EQ(std::string(status.message()).substr(0, field.size() + 1), field + ":") << status;
  }
}

}  // namespace
}  // namespace greenring::worker
