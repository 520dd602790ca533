// Tests of the module `uwsgi`: applications in Python source, a process that is made up, and waits that end as the test
// says.
//
//   class WaitTest : public UwsgiTest {};
//   TEST_F(WaitTest, ...) {
//     core_.results = {CurrentCore::kTimedOut};
//     EXPECT_EQ(Call("uwsgi.async_sleep(1)\nresult = uwsgi.suspend()\n"), "True");
//     EXPECT_THAT(core_.waits, ElementsAre("wait () 1000000000"));
//   }
#pragma once

#include <poll.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "pyhost/current_core.h"
#include "pyhost/current_request.h"
#include "pyhost/request_extension.h"
#include "pyhost/uwsgi/module.h"
#include "pyhost/wsgi_handler_fixture.h"

namespace greenring::pyhost {

class FakeUwsgiHost final : public UwsgiHost {
 public:
  int worker_id() const override { return 2; }
  int master_pid() const override { return master_pid_; }
  int worker_count() const override { return 4; }
  int core_count() const override { return 30; }
  int64_t request_count() const override { return 11; }
  void Log(const std::string& line) override { lines.push_back(line); }

  absl::StatusOr<std::vector<UwsgiWorker>> Workers() override { return workers; }
  absl::Status Reload() override { return asked; }
  absl::Status Stop() override { return asked; }
  absl::Status RegisterSignal(int signal, const std::string& target) override {
    return Say("register", signal, target);
  }
  absl::Status SendSignal(int signal) override { return Say("send", signal, ""); }
  absl::StatusOr<bool> IsRegistered(int) override { return false; }
  absl::StatusOr<int> SignalFor(const std::string& name) override {
    said.push_back(name);
    return asked.ok() ? absl::StatusOr<int>(40 + static_cast<int>(said.size())) : asked;
  }
  absl::Status AddTimer(int signal, const UwsgiTimer& timer) override {
    return Say("timer", signal, absl::StrCat(timer.period_ns, " ", timer.iterations, timer.from_last ? " rb" : ""));
  }
  absl::Status AddCron(int signal, const UwsgiCron& cron) override {
    return Say("cron", signal,
               absl::StrCat(cron.minute, " ", cron.hour, " ", cron.day, " ", cron.month, " ", cron.weekday));
  }
  absl::Status AddFileMonitor(int signal, const std::string& path) override { return Say("file", signal, path); }
  absl::Status Lock(int lock) override { return Say("lock", lock, ""); }
  absl::Status Unlock(int lock) override { return Say("unlock", lock, ""); }
  absl::StatusOr<bool> IsLocked(int lock) override {
    if (!asked.ok()) return asked;
    return lock == 1;
  }

  absl::Status Say(const char* what, int number, const std::string& more) {
    said.push_back(absl::StrCat(what, " ", number, more.empty() ? "" : " ", more));
    return asked;
  }

  std::vector<std::string> lines;
  std::vector<std::string> said;  // to the master
  absl::StatusOr<std::vector<UwsgiWorker>> workers = absl::UnavailableError("no master");
  absl::Status asked = absl::UnavailableError("no master");

 private:
  const int master_pid_ = 4711;
};

// Takes the place of the core that WsgiHandler made, before the application is called.
class ScriptedCore final : public CurrentCore {
 public:
  bool Yield() override {
    waits.push_back("yield");
    return true;
  }
  int Wait(std::span<const WaitFd> fds, int64_t timeout_ns) override {
    std::string text = "wait (";
    for (const WaitFd& fd : fds) {
      absl::StrAppend(&text, fd.fd, (fd.events & POLLIN) != 0 ? "r" : "", (fd.events & POLLOUT) != 0 ? "w" : "", " ");
    }
    if (text.back() == ' ') text.pop_back();
    waits.push_back(absl::StrCat(text, ") ", timeout_ns == kNeverNs ? "for ever" : absl::StrCat(timeout_ns)));
    if (results.empty()) return kTimedOut;
    const int result = results.front();
    results.erase(results.begin());
    if (result == kFailed) PyErr_SetString(PyExc_InterruptedError, "from outside");
    return result;
  }
  CurrentRequest* request() const override { return CurrentRequest::Current(); }
  Exchange* exchange() const override { return exchange_; }
  int number() const override { return 3; }
  std::unique_ptr<Attachment>* attachment() override { return &attachment_; }

  void Begin(Exchange* exchange) { exchange_ = exchange; }
  void End() {
    attachment_.reset();
    exchange_ = nullptr;
  }

  std::vector<int> results;  // of Wait, in their order; then timeouts
  std::vector<std::string> waits;

 private:
  Exchange* exchange_ = nullptr;
  std::unique_ptr<Attachment> attachment_;
};

// The module's own, for requests that `core` is the core of.
class ScriptedExtension final : public RequestExtension {
 public:
  explicit ScriptedExtension(ScriptedCore* core) : core_(core) {}

  PyObject* Constants() override { return UwsgiModule::extension()->Constants(); }
  bool OnBegin(CurrentCore* core, PyObject* environ) override {
    if (core_->exchange() != nullptr) CurrentRequest::Current()->mutable_parts()->core = core_;
    return UwsgiModule::extension()->OnBegin(core, environ);
  }
  bool BeforeNext(CurrentCore* core, PyObject* environ, bool was_empty) override {
    return UwsgiModule::extension()->BeforeNext(core, environ, was_empty);
  }
  bool OnEnd(CurrentCore* core) override { return UwsgiModule::extension()->OnEnd(core); }

 private:
  ScriptedCore* const core_;
};

class UwsgiTest : public WsgiHandlerTest {
 protected:
  static void SetUpTestSuite() {
    static const bool registered = [] {
      RegisterUwsgiModule(&host_, {.options = {{"home", "/srv"}, {"strict", "true"}, {"mode", "test"}}});
      return true;
    }();
    ASSERT_TRUE(registered);
    PythonTest::SetUpTestSuite();
  }

  void SetUp() override {
    WsgiHandlerTest::SetUp();
    extension_ = &scripted_extension_;
    host_.lines.clear();
    host_.said.clear();
    host_.asked = absl::UnavailableError("no master");
    host_.workers = absl::UnavailableError("no master");
    core_.results.clear();
    core_.waits.clear();
    Execute("import uwsgi, os, socket\n");
  }

  // Serves GET by the application `app` in `source`.
  void Request(const std::string& source) {
    Serve(source);
    core_.Begin(exchange_.get());
    Handle(exchange_.get());
    core_.End();
  }

  // What `body` leaves in `result`, as repr gives it; or the exception that it raises.
  std::string Call(std::string body) {
    for (size_t at = 0; (at = body.find('\n', at)) != std::string::npos && at + 1 < body.size(); ++at) {
      body.replace(at, 1, "\n        ");
    }
    exchange_ = std::make_unique<FakeExchange>(request_, pieces_);
    exchange_->SetClientFd(client_fd_);
    exchange_->SetArrived(arrived_, chunk_left_bytes_);
    Request(absl::StrCat("def app(environ, start_response):\n    START\n    result = None\n    try:\n        ", body,
                         "\n    except Exception as error:\n        result = error\n"
                         "    return [repr(result).encode()]\n"));
    return exchange_->body();
  }

  static inline FakeUwsgiHost host_;
  static inline ScriptedCore core_;
  static inline ScriptedExtension scripted_extension_{&core_};
  std::string request_ = kGet;
  std::vector<std::string> pieces_;
  size_t arrived_ = 0;
  int64_t chunk_left_bytes_ = 0;
  int client_fd_ = -1;
  std::unique_ptr<FakeExchange> exchange_ = std::make_unique<FakeExchange>(kGet);
};

}  // namespace greenring::pyhost
