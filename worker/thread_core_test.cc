// A core that is an OS thread, on a real ring with real sockets and CPython; the application is C++ that may run Python
// code.
#include "worker/thread_core.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/sanitizers.h"
#include "base/unique_fd.h"
#include "green/stack_overflow.h"
#include "gtest/gtest.h"
#include "ioloop/event_loop.h"
#include "ioloop/uring.h"
#include "pyhost/core_thread.h"
#include "pyhost/current_request.h"
#include "pyhost/gil.h"
#include "pyhost/interpreter.h"
#include "pyhost/os_thread.h"
#include "pyhost/python.h"
#include "pyhost/python_error.h"
#include "testing/run_for.h"
#include "worker/connection.h"
#include "worker/core_pool.h"
#include "worker/http_service.h"
#include "worker/http_service_fixture.h"

namespace greenring::worker {
namespace {

constexpr char kSpin[] = "for _ in range(10**9): pass\n";
constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

class ThreadCoreTest : public ::testing::Test, public CorePool::Runner, public HttpService::Observer {
 protected:
  using App = std::function<void(HttpExchange* request, pyhost::Exchange* exchange)>;

  static void SetUpTestSuite() {
    static auto* const interpreter = new auto(pyhost::Interpreter::Start({}));
    ASSERT_TRUE(interpreter->ok()) << interpreter->status();
    green::InstallStackOverflowHandler();
  }

  void SetUp() override {
    absl::StatusOr<std::unique_ptr<ioloop::Uring>> ring = ioloop::Uring::Create({});
    if (!ring.ok()) GTEST_SKIP() << ring.status();
    ring_ = *std::move(ring);
    scheduler_.SetSwitchHook(&hook_);
    release_ = std::make_unique<pyhost::ScopedGilRelease>();
    loop_ = std::make_unique<ioloop::EventLoop>(ring_.get(), &scheduler_);
    cores_ = std::make_unique<CorePool>(&scheduler_, settings_, this);
    errands_ = std::make_unique<pyhost::GilErrands>();
  }

  void Start(HttpServiceOptions options = {}) {
    service_ = std::make_unique<HttpService>(loop_.get(), cores_.get(), options, &errors_, nullptr, this);
    listener_.service = service_.get();
  }

  void TearDown() override {
    if (service_ == nullptr) return;
    service_->Drain();
    RunUntil([this] { return cores_ended_; });
    RunFor(10 * kMs);
    EXPECT_EQ(cores_->live_count(), 0u);
    service_.reset();
    cores_.reset();
    errands_.reset();
    release_.reset();
  }

  // The peer's end of a new connection, which has sent `data`.
  UniqueFd Connect(std::string_view data = kGet) {
    int ends[2];
    GREENRING_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    listener_.OnAccept(UniqueFd(ends[0]));
    UniqueFd peer(ends[1]);
    Send(peer, data);
    return peer;
  }

  static void Send(const UniqueFd& peer, std::string_view data) {
    ASSERT_EQ(write(peer.get(), data.data(), data.size()), static_cast<ssize_t>(data.size()));
  }

  // What has come, once anything has.
  std::string Received(const UniqueFd& peer) {
    std::string text;
    RunUntil([&] {
      char data[4096];
      const ssize_t size = recv(peer.get(), data, sizeof(data), 0);
      if (size > 0) text.append(data, static_cast<size_t>(size));
      return size >= 0;
    });
    return text;
  }

  std::string Exchanged(std::string_view request = kGet) { return Received(Connect(request)); }

  void RunFor(int64_t duration_ns) { testing::RunFor(&scheduler_, loop_.get(), duration_ns); }

  void RunUntil(const std::function<bool()>& reached) {
    const int64_t end_ns = scheduler_.clock()->NowNs() + 20 * kSecond;
    while (!reached()) {
      ASSERT_LT(scheduler_.clock()->NowNs(), end_ns) << "not within 20 s";
      RunFor(kMs);
    }
  }

  void AwaitServed(size_t count) {
    RunUntil([&] { return served_.size() >= count; });
    EXPECT_EQ(served_.size(), count);
  }

  // What ends the Python statements, on the thread that calls; "" if nothing does.
  static std::string EndOf(const char* source) {
    const pyhost::PyRef globals(PyDict_New());
    PyDict_SetItemString(globals.get(), "__builtins__", PyEval_GetBuiltins());
    const pyhost::PyRef result(PyRun_String(source, Py_file_input, globals.get(), globals.get()));
    return result ? "" : pyhost::DescribeException(pyhost::TakeException().get());
  }

  static void Answer(pyhost::Exchange* exchange, std::string_view body) {
    protocol::ResponseEncoder head;
    ASSERT_EQ(head.SetStatus("200 OK"), nullptr);
    exchange->SendComplete(head, body).IgnoreError();
  }

  void RunCore(CorePool* pool) override {
    ThreadCore core(&scheduler_, errands_.get(), stack_size_bytes_,
                    [this](HttpExchange* request, pyhost::Exchange* exchange) { app_(request, exchange); });
    while (HttpExchange* request = pool->Next()) {
      Connection* const connection = request->connection();
      served_.push_back(core.Serve(request));
      if (absl::IsDataLoss(served_.back())) {
        lost_stack_ = core.DescribeLostStack();
        return connection->OnAbandoned();
      }
      if (!served_.back().ok()) request->Abort();
      connection->OnServed();
    }
  }
  void OnCoreAbandoned(green::GreenThread*, HttpExchange*) override {}
  void OnCoresEnded() override { cores_ended_ = true; }
  void OnOverdue() override { ++overdue_; }
  void OnRequestLimit() override {}
  void OnDrained() override { cores_->Stop(); }

  std::unique_ptr<LogFile> log_file_ = LogFile::Open("/dev/null", 2).value();
  ErrorLog errors_{log_file_.get()};
  CoreSettings settings_{.engine = CoreEngine::kThread, .cores_max = 4};
  size_t stack_size_bytes_ = 0;
  pyhost::PythonSwitchHook hook_;
  green::Scheduler scheduler_;
  std::unique_ptr<ioloop::Uring> ring_;
  std::unique_ptr<pyhost::ScopedGilRelease> release_;
  std::unique_ptr<ioloop::EventLoop> loop_;
  std::unique_ptr<CorePool> cores_;
  std::unique_ptr<pyhost::GilErrands> errands_;
  std::unique_ptr<HttpService> service_;
  HttpListener listener_;
  App app_ = [](HttpExchange*, pyhost::Exchange* exchange) { Answer(exchange, "hello"); };
  std::vector<absl::Status> served_;
  std::string lost_stack_;
  bool cores_ended_ = false;
  int overdue_ = 0;
};

TEST_F(ThreadCoreTest, RequestsAreHandledOneAfterTheOtherOnAThreadOfItsOwn) {
  Start();
  std::vector<pid_t> ids;  // the GIL guards it
  app_ = [&ids](HttpExchange* request, pyhost::Exchange* exchange) {
    EXPECT_EQ(PyGILState_Check(), 1);
    EXPECT_EQ(green::GreenThread::Current(), nullptr);
    ids.push_back(gettid());
    EXPECT_EQ(request->os_thread()->id(), gettid());
    Answer(exchange, request->head().target);
  };
  for (size_t i = 1; i <= 5; ++i) {
    EXPECT_TRUE(Contains(Exchanged(), "/a"));
    AwaitServed(i);  // the answer is there before its core is back
  }
  EXPECT_EQ(served_, std::vector<absl::Status>(5, absl::OkStatus()));
  EXPECT_EQ(ids, std::vector<pid_t>(5, ids.front()));
  EXPECT_NE(ids.front(), gettid());
}

TEST_F(ThreadCoreTest, WhoComputesOrBlocksHoldsUpNobody) {
  Start();
  std::atomic<bool> blocks{false}, go_on{false};
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    if (request->head().target == "/block") {
      const pyhost::ScopedGilPause pause;
      blocks = true;
      while (!go_on.load()) usleep(1000);
    }
    Answer(exchange, "done");
  };
  const UniqueFd blocked = Connect("GET /block HTTP/1.1\r\nHost: h\r\n\r\n");
  RunUntil([&] { return blocks.load(); });
  EXPECT_TRUE(Contains(Exchanged(), "done"));
  AwaitServed(1);
  go_on = true;
  EXPECT_TRUE(Contains(Received(blocked), "done"));
}

TEST_F(ThreadCoreTest, ABodyIsReadAsItComesAndOthersAreServedMeanwhile) {
  Start();
  std::atomic<bool> reads{false};
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    std::string body;
    if (request->head().method == "POST") {
      reads = true;
      char piece[100];
      for (;;) {
        const absl::StatusOr<size_t> size = exchange->ReadBody(piece, sizeof(piece));
        ASSERT_TRUE(size.ok()) << size.status();
        if (*size == 0) break;
        body.append(piece, *size);
      }
    }
    Answer(exchange, body + "!");
  };
  const UniqueFd slow = Connect("POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
  RunUntil([&] { return reads.load(); });
  EXPECT_TRUE(Contains(Exchanged(), "!"));
  Send(slow, "cd");
  EXPECT_TRUE(Contains(Received(slow), "abcd!"));
}

TEST_F(ThreadCoreTest, ItsProcessorTimeIsTheRequests) {
  Start();
  std::atomic<HttpExchange*> computes{nullptr};
  std::atomic<bool> stop{false};
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    if (request->head().target == "/compute") {
      computes = request;
      const pyhost::ScopedGilPause pause;
      while (!stop.load()) continue;
    }
    Answer(exchange, "done");
  };
  const UniqueFd peer = Connect("GET /compute HTTP/1.1\r\nHost: h\r\n\r\n");
  RunUntil([&] { return computes.load() != nullptr && computes.load()->CpuNs() > 50 * kMs; });
  stop = true;
  EXPECT_TRUE(Contains(Received(peer), "done"));
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    EXPECT_LT(request->os_thread()->CpuNs(), 40 * kMs) << "that of the last one is not counted";
    Answer(exchange, "done");
  };
  EXPECT_TRUE(Contains(Exchanged(), "done"));
}

// ---- deadlines -----------------------------------------------------------------------------------------------------

TEST_F(ThreadCoreTest, ADeadlineIsRaisedInCodeThatComputes) {
  HttpServiceOptions options;
  options.request_timeouts.Set("", 50 * kMs);
  Start(options);
  std::string end;
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    const pyhost::CurrentRequest current(request->head(), exchange, &errors_);
    end = EndOf(kSpin);
    EXPECT_EQ(exchange->cut_short(), pyhost::CutShort::kTimedOut);
    EXPECT_TRUE(current.interrupted());
    Answer(exchange, "late");
  };
  EXPECT_TRUE(Contains(Exchanged(), "late"));
  EXPECT_EQ(end, "greenring.RequestTimeout: it took more than 0.05 s");
}

TEST_F(ThreadCoreTest, ADeadlineEndsAReadOfTheBody) {
  HttpServiceOptions options;
  options.request_timeouts.Set("", 50 * kMs);
  Start(options);
  std::string end;
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    const pyhost::CurrentRequest current(request->head(), exchange, &errors_);
    char byte;
    EXPECT_TRUE(absl::IsCancelled(exchange->ReadBody(&byte, 1).status()));
    end = EndOf("pass\n");  // it has been posted by then
    Answer(exchange, "late");
  };
  EXPECT_TRUE(Contains(Exchanged("POST /u HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"), "late"));
  EXPECT_EQ(end, "greenring.RequestTimeout: it took more than 0.05 s");
}

TEST_F(ThreadCoreTest, AnInterruptionBeforeThereIsAnybodyToInterruptIsKept) {
  HttpServiceOptions options;
  options.request_timeouts.Set("", 20 * kMs);
  Start(options);
  std::string end;
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    {
      const pyhost::ScopedGilPause pause;
      usleep(100'000);
    }
    while (exchange->cut_short() == pyhost::CutShort::kNo) continue;
    const pyhost::CurrentRequest current(request->head(), exchange, &errors_);
    end = EndOf(kSpin);
    Answer(exchange, "late");
  };
  EXPECT_TRUE(Contains(Exchanged(), "late"));
  EXPECT_EQ(end, "greenring.RequestTimeout: it took more than 0.02 s");
}

TEST_F(ThreadCoreTest, ADeadlineIsKnownWithoutTheLoopAndCanBeSet) {
  Start();
  app_ = [&](HttpExchange*, pyhost::Exchange* exchange) {
    EXPECT_EQ(exchange->deadline_ns(), kNeverNs);
    exchange->SetTimeout(100 * kSecond);
    EXPECT_EQ(exchange->deadline_ns(), exchange->started_ns() + 100 * kSecond);
    exchange->SetTimeout(kNeverNs);
    EXPECT_EQ(exchange->deadline_ns(), kNeverNs);
    Answer(exchange, "done");
  };
  EXPECT_TRUE(Contains(Exchanged(), "done"));
}

TEST_F(ThreadCoreTest, WhoGoesOnAfterTheGraceIsOverdueAndTheClientIsTold) {
  HttpServiceOptions options;
  options.request_timeouts.Set("", 20 * kMs);
  options.request_timeout_grace_ns = 20 * kMs;
  Start(options);
  std::atomic<bool> go_on{false};
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    const pyhost::CurrentRequest current(request->head(), exchange, &errors_);
    {
      const pyhost::ScopedGilPause pause;
      while (!go_on.load()) usleep(1000);
    }
    Answer(exchange, "late");
  };
  EXPECT_TRUE(Contains(Exchanged(), "HTTP/1.1 504 "));
  EXPECT_EQ(overdue_, 1);
  EXPECT_TRUE(served_.empty()) << "it runs on";
  go_on = true;
  AwaitServed(1);
}

TEST_F(ThreadCoreTest, AnOperatorsReasonArrives) {
  Start();
  std::atomic<HttpExchange*> runs{nullptr};
  std::string end, stack;
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    const pyhost::CurrentRequest current(request->head(), exchange, &errors_);
    runs = request;
    end = EndOf(kSpin);
    Answer(exchange, "late");
  };
  const UniqueFd peer = Connect();
  RunUntil([&] { return runs.load() != nullptr; });
  runs.load()->OnCancelled("too slow");
  EXPECT_TRUE(Contains(Received(peer), "late"));
  EXPECT_EQ(end, "greenring.Cancelled: too slow");
}

TEST_F(ThreadCoreTest, WhatWasNotRaisedIsNotRaisedInTheNextRequest) {
  HttpServiceOptions options;
  options.request_timeouts.Set("/a", 20 * kMs);
  Start(options);
  std::string end = "none";
  app_ = [&](HttpExchange* request, pyhost::Exchange* exchange) {
    const pyhost::CurrentRequest current(request->head(), exchange, &errors_);
    if (request->head().target == "/a") {
      while (exchange->cut_short() == pyhost::CutShort::kNo) continue;
    } else {
      end = EndOf("for _ in range(100000): pass\n");
    }
    Answer(exchange, "done");
  };
  EXPECT_TRUE(Contains(Exchanged(), "done"));
  EXPECT_TRUE(Contains(Exchanged("GET /b HTTP/1.1\r\nHost: h\r\n\r\n"), "done"));
  EXPECT_EQ(end, "");
}

// ---- threads that cannot be had, or are lost -----------------------------------------------------------------------

TEST_F(ThreadCoreTest, WithoutAnOsThreadNothingIsDone) {
  Start();
  stack_size_bytes_ = size_t{1} << 50;
  int runs = 0;
  app_ = [&](HttpExchange*, pyhost::Exchange*) { ++runs; };
  Exchanged();
  AwaitServed(1);
  EXPECT_TRUE(absl::IsResourceExhausted(served_[0]));
  EXPECT_TRUE(Contains(std::string(served_[0].message()), "lower the number of cores")) << served_[0];
  EXPECT_EQ(runs, 0);
}

// Not a tail call, and not to be optimised into a loop. Does not end.
__attribute__((noinline)) int Recurse(int level) {
  volatile char frame[256];
  frame[0] = static_cast<char>(level);
  return level < 0 ? frame[0] : Recurse(level + 1) + frame[0];
}

TEST_F(ThreadCoreTest, AStackThatOverflowsCostsTheRequestAndTheThread) {
  if (GREENRING_ASAN || GREENRING_TSAN) GTEST_SKIP() << "the sanitizer's own checks come first";
  Start();
  app_ = [](HttpExchange* request, pyhost::Exchange* exchange) {
    if (request->head().target == "/lost") Recurse(0);
    Answer(exchange, "hello");
  };
  for (size_t i = 1; i <= 3; ++i) {
    EXPECT_TRUE(Contains(Exchanged("GET /lost HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 500 "));
    AwaitServed(2 * i - 1);
    EXPECT_TRUE(absl::IsDataLoss(served_.back()));
    EXPECT_TRUE(Contains(Exchanged(), "hello")) << "the GIL is free, and another core has its own thread";
    AwaitServed(2 * i);
  }
}

}  // namespace
}  // namespace greenring::worker
