#include "control/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greenring::control {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using worker::v1::FromWorker;
using worker::v1::ToWorker;

constexpr int64_t kLongNs = 60 * kNanosecondsPerSecond;

class WorkerProcessTest : public ::testing::Test, public WorkerHandle::Observer {
 protected:
  WorkerProcessTest() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    stderr_read_.Reset(ends[0]);
    stderr_write_.Reset(ends[1]);
    factory_ = MakeWorkerFactory(
        &context_,
        {.executable = "control/worker_process_peer", .arguments = {"--worker"}, .stderr_fd = stderr_write_.get()});
  }

  void TearDown() override {
    if (worker_ != nullptr) {
      worker_->Kill();
      WaitForEnd();
    }
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
  }

  // Runs the reactor until `done`, or for a minute.
  template <typename F>
  bool RunUntil(F done) {
    const int64_t deadline_ns = Clock::Monotonic()->NowNs() + kLongNs;
    while (!done() && Clock::Monotonic()->NowNs() < deadline_ns) {
      context_.restart();
      context_.run_one_for(std::chrono::milliseconds(100));
    }
    return done();
  }

  void StartWorker(WorkerStart start = {}) {
    start.start.set_worker("pools/web/workers/7");
    start.start.mutable_pool()->mutable_application()->set_target("shop");
    absl::StatusOr<std::unique_ptr<WorkerHandle>> worker = factory_->Start(start, this);
    ASSERT_TRUE(worker.ok()) << worker.status();
    worker_ = *std::move(worker);
    ASSERT_TRUE(RunUntil([this] { return ready_.has_value(); }));
    EXPECT_EQ(ready_->description(), "shop");
  }

  absl::StatusOr<FromWorker> AskAndWait(const ToWorker& message, int64_t timeout_ns = kLongNs) {
    std::optional<absl::StatusOr<FromWorker>> answer;
    worker_->Ask(message, timeout_ns, [&answer](absl::StatusOr<FromWorker> a) { answer = std::move(a); });
    EXPECT_FALSE(answer.has_value()) << "the answer came from within the call";
    EXPECT_TRUE(RunUntil([&answer] { return answer.has_value(); }));
    return answer.value_or(absl::InternalError("no answer"));
  }

  // What the process knows about itself.
  std::string Tell(const std::string& what) {
    ToWorker message;
    message.mutable_stop_accepting()->add_addresses(what);
    const absl::StatusOr<FromWorker> answer = AskAndWait(message);
    return answer.ok() ? answer->refused().message() : answer.status().ToString();
  }

  static ToWorker Cancel(const std::string& reason) {
    ToWorker message;
    message.mutable_cancel_request()->set_reason(reason);
    return message;
  }

  void TellDump() {
    ToWorker message;
    message.mutable_dump();
    worker_->Tell(message, {});
  }

  const WorkerEnd& WaitForEnd() {
    EXPECT_TRUE(RunUntil([this] { return end_.has_value(); }));
    return *end_;
  }

  std::string Stderr() {
    char text[65536];
    const ssize_t size = read(stderr_read_.get(), text, sizeof(text));
    return size > 0 ? std::string(text, static_cast<size_t>(size)) : "";
  }

  void OnReady(const FromWorker::Ready& ready) override { ready_ = ready; }
  void OnStartFailed(const FromWorker::StartFailed&) override {}
  void OnObserved(const FromWorker::Observed&) override {}
  void OnReport(const FromWorker::Report& report) override {
    EXPECT_FALSE(end_.has_value());
    reported_requests_ = report.statistics().requests();
  }
  void OnUnfit(const FromWorker::Unfit& unfit) override { unfit_ = unfit.reason(); }
  void OnUwsgiCall(int64_t id, const worker::v1::UwsgiCall& call) override { calls_.emplace_back(id, call); }
  void OnDraining(const FromWorker::Draining&) override {}
  void OnEnded(const WorkerEnd& end) override {
    EXPECT_FALSE(end_.has_value());
    end_ = end;
    worker_.reset();
    if (at_end_) std::exchange(at_end_, nullptr)();
  }

  boost::asio::io_context context_{1};
  UniqueFd stderr_read_, stderr_write_;
  std::unique_ptr<WorkerFactory> factory_;
  std::unique_ptr<WorkerHandle> worker_;
  std::optional<FromWorker::Ready> ready_;
  std::optional<WorkerEnd> end_;
  std::vector<std::pair<int64_t, worker::v1::UwsgiCall>> calls_;
  std::function<void()> at_end_;
  int64_t reported_requests_ = 0;
  std::string unfit_;
};

TEST_F(WorkerProcessTest, GetsItsStartAndSaysReady) {
  StartWorker();
  EXPECT_GT(worker_->pid(), 0);
  EXPECT_EQ(Tell("title"), "greenring: web, worker 7");
}

TEST_F(WorkerProcessTest, HasNoDescriptorButItsOwn) {
  const UniqueFd leaked(dup(STDOUT_FILENO));  // not close-on-exec
  StartWorker();
  EXPECT_EQ(Tell("descriptors"), "0 1 2 3");
}

TEST_F(WorkerProcessTest, TheSocketsTravelWithTheStart) {
  const UniqueFd a(dup(STDOUT_FILENO)), b(dup(STDOUT_FILENO));
  WorkerStart start;
  start.sockets = {a.get(), b.get()};
  start.start.add_sockets()->set_address(std::string(1 << 20, 'a'));  // more than a socket takes at once
  start.start.add_sockets()->set_address("b");
  StartWorker(start);
  EXPECT_EQ(Tell("received"), "2");
}

TEST_F(WorkerProcessTest, TheDescriptorsOfRoutesTravelWithTheStartToo) {
  const UniqueFd socket(dup(STDOUT_FILENO));
  WorkerStart start;
  start.sockets = {socket.get()};
  start.routes = {std::make_shared<const UniqueFd>(dup(STDOUT_FILENO)),
                  std::make_shared<const UniqueFd>(dup(STDOUT_FILENO))};
  StartWorker(start);
  EXPECT_EQ(Tell("received"), "3");
}

TEST_F(WorkerProcessTest, TooManyDescriptorsForAStartAreAnError) {
  WorkerStart start;
  start.sockets.assign(200, STDOUT_FILENO);
  start.routes.assign(54, std::make_shared<const UniqueFd>(dup(STDOUT_FILENO)));
  const auto worker = factory_->Start(start, this);
  ASSERT_FALSE(worker.ok());
  EXPECT_THAT(std::string(worker.status().message()), HasSubstr("at most"));
}

TEST_F(WorkerProcessTest, DescriptorsTravelWithALaterMessage) {
  StartWorker();
  ToWorker message;
  message.mutable_routes();
  worker_->Tell(message, {std::make_shared<const UniqueFd>(dup(STDOUT_FILENO))});
  EXPECT_EQ(Tell("received"), "1");
  worker_->Tell(message, {});
  worker_->Tell(message, {std::make_shared<const UniqueFd>(dup(STDOUT_FILENO)),
                          std::make_shared<const UniqueFd>(dup(STDOUT_FILENO))});
  EXPECT_EQ(Tell("received"), "3");
}

// The worker does not read, so they wait here; nobody else keeps them open.
TEST_F(WorkerProcessTest, DescriptorsWaitForAWorkerThatDoesNotRead) {
  StartWorker();
  ASSERT_EQ(kill(worker_->pid(), SIGSTOP), 0);
  ToWorker long_message;
  long_message.mutable_routes()->add_pools(std::string(800'000, 'x'));
  worker_->Tell(long_message, {});
  std::vector<std::weak_ptr<const UniqueFd>> sent;
  for (int i = 0; i < 10; ++i) {
    ToWorker message;
    message.mutable_routes();
    const SharedFd fd = std::make_shared<const UniqueFd>(dup(STDOUT_FILENO));
    sent.push_back(fd);
    worker_->Tell(message, {fd});
  }
  for (const auto& fd : sent) EXPECT_FALSE(fd.expired());
  ASSERT_EQ(kill(worker_->pid(), SIGCONT), 0);
  EXPECT_EQ(Tell("received"), "10");
  for (const auto& fd : sent) EXPECT_TRUE(fd.expired());
}

TEST_F(WorkerProcessTest, HasDefaultSignalsAndAGroupOfItsOwn) {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  StartWorker();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(Tell("signals"), "");
  EXPECT_EQ(Tell("group"), "own");
}

TEST_F(WorkerProcessTest, HasThePoolsEnvironmentFromItsFirstInstruction) {
  setenv("GREENRING_TEST_KEPT", "kept", 1);
  setenv("GREENRING_TEST_CHANGED", "before", 1);
  WorkerStart start;
  (*start.start.mutable_pool()->mutable_application()->mutable_environment())["GREENRING_TEST_CHANGED"] = "after";
  StartWorker(start);
  EXPECT_EQ(Tell("GREENRING_TEST_KEPT"), "kept");
  EXPECT_EQ(Tell("GREENRING_TEST_CHANGED"), "after");
}

TEST_F(WorkerProcessTest, RunsOnTheProcessorsItIsPinnedTo) {
  cpu_set_t mine;
  ASSERT_EQ(sched_getaffinity(0, sizeof(mine), &mine), 0);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) last = CPU_ISSET(cpu, &mine) ? cpu : last;
  WorkerStart start;
  start.cpus = {last};
  StartWorker(start);
  EXPECT_EQ(Tell("cpus"), std::to_string(last));
}

TEST_F(WorkerProcessTest, AProcessorThatIsNotThereIsAnError) {
  WorkerStart start;
  start.cpus = {1000};
  const auto worker = factory_->Start(start, this);
  ASSERT_FALSE(worker.ok());
  EXPECT_THAT(std::string(worker.status().message()), StartsWith("pin a worker to processor 1000"));
}

TEST_F(WorkerProcessTest, AnExecutableThatIsNotThereIsAnError) {
  const auto worker = MakeWorkerFactory(&context_, {.executable = "/no/such/file"})->Start({}, this);
  ASSERT_FALSE(worker.ok());
  EXPECT_THAT(std::string(worker.status().message()), HasSubstr("/no/such/file"));
}

TEST_F(WorkerProcessTest, LongAnswersComeWhole) {
  StartWorker();
  ToWorker message;
  message.mutable_list_requests()->set_count_max(3000);
  const absl::StatusOr<FromWorker> answer = AskAndWait(message);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->request_list().requests_size(), 3000);
}

TEST_F(WorkerProcessTest, WhatIsNotAnsweredTimesOut) {
  StartWorker();
  ToWorker message;
  message.mutable_get_stack();
  EXPECT_TRUE(absl::IsDeadlineExceeded(AskAndWait(message, kNanosecondsPerMillisecond).status()));
}

TEST_F(WorkerProcessTest, AnswersToNobodyAreIgnored) {
  StartWorker();
  const absl::StatusOr<FromWorker> answer = AskAndWait(Cancel("answer somebody else"));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->has_cancelled());
}

TEST_F(WorkerProcessTest, ADrainedWorkerSaysItsLastWordsAndEndsWithNothingToComplainOf) {
  StartWorker();
  ToWorker message;
  message.mutable_drain();
  worker_->Tell(message, {});
  EXPECT_EQ(WaitForEnd().reason, "exit status 0");
  EXPECT_EQ(end_->last_stderr, "");
  EXPECT_EQ(reported_requests_, 42);
}

TEST_F(WorkerProcessTest, AKilledWorkerNamesTheSignal) {
  StartWorker();
  worker_->Kill();
  EXPECT_EQ(WaitForEnd().reason, "signal 9 (Killed)");
  EXPECT_TRUE(WIFSIGNALED(end_->wait_status));
}

TEST_F(WorkerProcessTest, ACrashLeavesItsLastWords) {
  StartWorker();
  TellDump();
  EXPECT_THAT(WaitForEnd().reason, StartsWith("signal 11 (Segmentation fault)"));
  EXPECT_THAT(end_->last_stderr, HasSubstr("about to crash\nwith a last line"));
  EXPECT_THAT(Stderr(), HasSubstr("about to crash\nwith a last line\n"));
}

TEST_F(WorkerProcessTest, AnUnfitWorkersReasonIsInItsEnd) {
  StartWorker();
  worker_->Tell(Cancel("unfit a request did not heed its timeout"), {});
  EXPECT_EQ(WaitForEnd().reason, "exit status 3: a request did not heed its timeout");
  EXPECT_EQ(unfit_, "a request did not heed its timeout");
}

TEST_F(WorkerProcessTest, OneThatSaysNonsenseIsKilled) {
  StartWorker();
  worker_->Tell(Cancel("say nonsense"), {});
  EXPECT_EQ(WaitForEnd().reason, "signal 9 (Killed): it has sent its master what is no message");
}

TEST_F(WorkerProcessTest, QuestionsOfADeadWorkerAreUnavailableBeforeItsEndIsTold) {
  StartWorker();
  std::vector<std::string> order;
  ToWorker message;
  message.mutable_get_stack();
  for (int i = 0; i < 3; ++i) {
    worker_->Ask(message, kLongNs, [&](absl::StatusOr<FromWorker> answer) {
      EXPECT_TRUE(absl::IsUnavailable(answer.status())) << answer.status();
      order.push_back(end_.has_value() ? "late" : "in time");
    });
  }
  worker_->Kill();
  WaitForEnd();
  EXPECT_EQ(order, std::vector<std::string>(3, "in time"));
}

TEST_F(WorkerProcessTest, OneThatDoesNotReadIsNotAskedForEver) {
  StartWorker();
  ASSERT_EQ(kill(worker_->pid(), SIGSTOP), 0);
  ToWorker message;
  message.mutable_stop_accepting()->add_addresses(std::string(100'000, 'x'));
  std::optional<absl::StatusOr<FromWorker>> answer;
  for (int i = 0; i < 20; ++i) {
    worker_->Ask(message, kLongNs, [&](absl::StatusOr<FromWorker> a) {
      if (!answer.has_value()) answer = std::move(a);
    });
  }
  ASSERT_TRUE(RunUntil([&] { return answer.has_value(); }));
  EXPECT_TRUE(absl::IsUnavailable(answer->status())) << answer->status();
  EXPECT_THAT(std::string(answer->status().message()), HasSubstr("does not read"));
  worker_->Kill();
  WaitForEnd();  // the other questions are answered here, while there is an `answer`
}

// A worker's end of the link can close after its end: what is left of its io_uring has it. Then the reactor still has
// an event for the descriptor when that is closed, and the next process gets what it belonged to.
TEST_F(WorkerProcessTest, OneThatStartsAsAnotherEndsIsNotTakenForDead) {
  StartWorker();
  const pid_t holder = std::stoi(Tell("child"));
  const pid_t pid = worker_->pid();
  ready_.reset();
  at_end_ = [this] {
    end_.reset();
    worker_ = *factory_->Start({}, this);
  };
  for (const pid_t one : {pid, holder}) {
    const UniqueFd watched(static_cast<int>(syscall(SYS_pidfd_open, one, 0)));
    ASSERT_EQ(kill(one, SIGKILL), 0);
    pollfd ended = {.fd = watched.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&ended, 1, 60'000), 1);
  }
  EXPECT_TRUE(RunUntil([this] { return ready_.has_value(); }));
  EXPECT_NE(worker_->pid(), pid);
  EXPECT_FALSE(end_.has_value()) << end_->reason;
}

TEST_F(WorkerProcessTest, ADeletedHandleKillsAndCallsNobody) {
  StartWorker();
  const pid_t pid = worker_->pid();
  ToWorker message;
  message.mutable_get_stack();
  worker_->Ask(message, kLongNs, [](absl::StatusOr<FromWorker>) { ADD_FAILURE() << "called"; });
  worker_.reset();
  EXPECT_TRUE(RunUntil([pid] { return kill(pid, 0) != 0; })) << "it is not waited for";
  EXPECT_FALSE(end_.has_value());
}

}  // namespace
}  // namespace greenring::control
