// What the module `uwsgi` of workers asks of the master, through the whole supervisor.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/supervisor_fixture.h"
#include "google/protobuf/text_format.h"
#include "greenring/worker/v1/uwsgi.pb.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using worker::v1::UwsgiAnswer;
using worker::v1::UwsgiCall;

class SupervisorUwsgiTest : public SupervisorFixture {
 protected:
  static UwsgiCall Call(const std::string& text) {
    UwsgiCall call;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &call)) << text;
    return call;
  }

  // The answer that has come by now.
  UwsgiAnswer Ask(int worker, const std::string& text) {
    const int64_t id = ++last_id_;
    Worker(worker)->CallUwsgi(id, Call(text));
    return AnswerTo(worker, id);
  }

  UwsgiAnswer AnswerTo(int worker, int64_t id) {
    const auto& answers = Worker(worker)->uwsgi_answers();
    const auto found = answers.find(id);
    EXPECT_NE(found, answers.end()) << "there is no answer";
    return found != answers.end() ? found->second : UwsgiAnswer();
  }

  int64_t last_id_ = 0;
};

TEST_F(SupervisorUwsgiTest, SignalsReachWorkers) {
  BeginReady(2);
  for (int worker : {1, 2}) {
    EXPECT_EQ(Ask(worker, "register_signal { signal: 3 target: 'workers' }").code(), 0);
  }
  EXPECT_EQ(Ask(1, "add_timer { signal: 3 period_ns: 1000000000 }").code(), 0);
  EXPECT_EQ(Ask(1, "send_signal { signal: 3 }").code(), 0);
  timers.Advance(10 * kMs);
  EXPECT_EQ(Worker(1)->uwsgi_signals(), std::vector<int>{3});
  EXPECT_EQ(Worker(2)->uwsgi_signals(), std::vector<int>{3});
  timers.Advance(kSecond);
  EXPECT_EQ(Worker(2)->uwsgi_signals(), (std::vector<int>{3, 3}));
  EXPECT_TRUE(Ask(2, "is_registered { signal: 3 }").truth());
  EXPECT_FALSE(Ask(2, "is_registered { signal: 4 }").truth());
}

TEST_F(SupervisorUwsgiTest, WhatIsWrongIsSaid) {
  BeginReady(1);
  EXPECT_EQ(Ask(1, "register_signal { signal: 3 target: 'mules' }").code(),
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Ask(1, "send_signal { signal: 3 }").code(), static_cast<int>(absl::StatusCode::kNotFound));
  EXPECT_EQ(Ask(1, "lock { lock: 256 }").code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Ask(1, "unlock { lock: -1 }").code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Ask(1, "").code(), static_cast<int>(absl::StatusCode::kUnimplemented));
}

TEST_F(SupervisorUwsgiTest, ALockGoesToTheNextInLineWhenItsHolderDies) {
  BeginReady(2);
  EXPECT_EQ(Ask(1, "lock { lock: 0 }").code(), 0);
  const int64_t id = ++last_id_;
  Worker(2)->CallUwsgi(id, Call("lock { lock: 0 }"));
  EXPECT_FALSE(Worker(2)->uwsgi_answers().contains(id));
  Worker(1)->Die(9);
  timers.Settle();
  EXPECT_EQ(AnswerTo(2, id).code(), 0);
  EXPECT_TRUE(Ask(2, "is_locked { lock: 0 }").truth());
  EXPECT_EQ(Ask(2, "unlock { lock: 0 }").code(), 0);
  EXPECT_FALSE(Ask(2, "is_locked { lock: 0 }").truth());
}

TEST_F(SupervisorUwsgiTest, WorkersAreTheCurrentOnes) {
  BeginReady(2);
  Worker(1)->Serve(1, 5, 1, kMs);
  Worker(1)->SendReport();
  const UwsgiAnswer answer = Ask(2, "list_workers {}");
  ASSERT_EQ(answer.workers_size(), 2);
  EXPECT_EQ(answer.workers(0).id(), 1);
  EXPECT_EQ(answer.workers(0).pid(), Worker(1)->pid());
  EXPECT_EQ(answer.workers(0).requests(), 5);
  EXPECT_EQ(answer.workers(0).respawn_count(), 1);
}

TEST_F(SupervisorUwsgiTest, AWorkerReloadsItsPool) {
  BeginReady(2);
  EXPECT_EQ(Ask(1, "reload {}").code(), 0);
  timers.Advance(10 * kMs);
  EXPECT_EQ(Workers(), "3:READY 4:READY");
}

TEST_F(SupervisorUwsgiTest, AWorkerStopsTheServer) {
  BeginReady(2);
  EXPECT_EQ(Ask(1, "stop {}").code(), 0);
  timers.Advance(kSecond);
  EXPECT_EQ(stopped, 1);
}

}  // namespace
}  // namespace greenring::control
