// Requests that are cut short: what the application sees, what the client gets, what the error log says.
#include "pyhost/current_request.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "gmock/gmock.h"
#include "green/scheduler.h"
#include "gtest/gtest.h"
#include "pyhost/fake_exchange.h"
#include "pyhost/interrupt.h"
#include "pyhost/python.h"
#include "pyhost/wsgi_handler_fixture.h"

namespace greenring::pyhost {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int64_t kSecond = kNanosecondsPerSecond;

// Applications find `park(seconds)`, which an interruption ends as it ends CPython's own calls, `cut()`, after which
// the request has timed out, and `log`, a list.
class CurrentRequestTest : public WsgiHandlerTest {
 protected:
  void SetUp() override {
    WsgiHandlerTest::SetUp();
    static PyMethodDef park = {"park", &Park, METH_O, nullptr};
    static PyMethodDef cut = {"cut", &Cut, METH_NOARGS, nullptr};
    for (PyMethodDef* method : {&park, &cut}) {
      const PyRef function(PyCFunction_New(method, nullptr));
      PyDict_SetItemString(globals_.get(), method->ml_name, function.get());
    }
    Execute("log = []\n");
  }

  // Serves a GET by `source`; after one second, if it still runs, the request is cut short for `reason`.
  std::unique_ptr<FakeExchange> GetCutShort(const std::string& source, CutShort reason = CutShort::kTimedOut) {
    Serve(source);
    auto exchange = std::make_unique<FakeExchange>(kGet);
    StartNow(exchange.get());
    RunGreen({[&] { HandleHere(exchange.get()); },
              [&] {
                SleepUntil(kSecond);
                exchange->EndRequest(reason);
              }});
    return exchange;
  }

  // The same of an application that calls cut() itself.
  std::unique_ptr<FakeExchange> GetCutting(const std::string& source) {
    Serve(source);
    auto exchange = std::make_unique<FakeExchange>(kGet);
    StartNow(exchange.get());
    Handle(exchange.get());
    return exchange;
  }

  // Its timeout is a second.
  void StartNow(FakeExchange* exchange) {
    exchange_ = exchange;
    exchange->StartAt(start_ns_);
    exchange->SetTimeout(kSecond);
  }

  // So long after the start.
  void SleepUntil(int64_t age_ns) { scheduler_.Park(start_ns_ + age_ns); }
  int64_t AgeNs() { return clock_.NowNs() - start_ns_; }

  static PyObject* Park(PyObject*, PyObject* seconds) {
    green::Scheduler* const scheduler = green::Scheduler::Current();
    const int64_t duration_ns = static_cast<int64_t>(PyFloat_AsDouble(seconds) * kSecond);
    const green::ParkResult result = scheduler->Park(scheduler->clock()->NowNs() + duration_ns);
    if (result == green::ParkResult::kCancelled && Interruptible::Current()->RaisePending()) return nullptr;
    return PyBool_FromLong(result == green::ParkResult::kTimedOut);
  }

  static PyObject* Cut(PyObject*, PyObject*) {
    exchange_->EndRequest(CutShort::kTimedOut);
    Py_RETURN_NONE;
  }

  static void Expect504(const FakeExchange& exchange) {
    EXPECT_THAT(exchange.head_text(), StartsWith("HTTP/1.1 504 Gateway Timeout\r\n"));
    EXPECT_EQ(exchange.body(), "Gateway Timeout\n");
    EXPECT_TRUE(exchange.finished());
    EXPECT_FALSE(exchange.aborted());
  }

  static inline FakeExchange* exchange_ = nullptr;
  const int64_t start_ns_ = clock_.NowNs();
};

TEST_F(CurrentRequestTest, RequestThatTimesOutIsAnswered504AndLoggedWithItsStack) {
  const auto exchange = GetCutShort("def app(environ, start_response):\n    park(9)\n");
  Expect504(*exchange);
  EXPECT_THAT(TakeMessage(),
              AllOf(StartsWith("GET /path?query: timed out after 1 s; answered 504\nTraceback "), HasSubstr("in app\n"),
                    HasSubstr("greenring.RequestTimeout: it took more than 1 s")));
  EXPECT_EQ(AgeNs(), kSecond);
}

TEST_F(CurrentRequestTest, WhatItHadStartedIsDropped) {
  const auto exchange = GetCutShort("def app(environ, start_response):\n    START\n    park(9)\n");
  Expect504(*exchange);
  TakeMessage();
}

TEST_F(CurrentRequestTest, AnswerThatTheApplicationMakesOfItIsReplaced) {
  const auto exchange = GetCutShort(
      "def app(environ, start_response):\n    try:\n        park(9)\n    except BaseException:\n        START\n"
      "        return [b'a page of its own']\n");
  Expect504(*exchange);
  EXPECT_THAT(
      TakeMessage(),
      AllOf(StartsWith("GET /path?query: timed out after 1 s; answered 504; the application made something else "
                       "of greenring.RequestTimeout, which was raised in\n"),
            HasSubstr("in app"), Not(HasSubstr("Traceback"))));
}

TEST_F(CurrentRequestTest, AnswerBeforeTheExceptionCouldBeRaisedIsReplacedToo) {
  const auto exchange = GetCutting("def app(environ, start_response):\n    START\n    cut()\n    return [b'late']\n");
  Expect504(*exchange);
  EXPECT_THAT(TakeMessage(), StartsWith("GET /path?query: timed out after 0 s; answered 504"));
}

TEST_F(CurrentRequestTest, WriteThatIsTooLateRaisesAndSendsNothing) {
  const auto exchange = GetCutting(
      "def app(environ, start_response):\n    write = START\n    cut()\n    try:\n        write(b'late')\n"
      "    except BaseException as error:\n        log.append(type(error).__name__)\n"
      "    try:\n        write(b'later')\n    except BaseException as error:\n        "
      "log.append(type(error).__name__)\n"
      "    return []\n");
  Expect504(*exchange);
  EXPECT_EQ(Evaluate("log"), "['RequestTimeout', 'ConnectionResetError']");
  EXPECT_THAT(TakeMessage(), HasSubstr("made something else"));
}

TEST_F(CurrentRequestTest, ErrorOfADriverInsteadOfTheExceptionIsLoggedAndAnswered504) {
  const auto exchange = GetCutting("def app(environ, start_response):\n    cut()\n    raise OSError('cancelled')\n");
  Expect504(*exchange);
  EXPECT_THAT(TakeMessage(), AllOf(StartsWith("GET /path?query: timed out after 0 s; answered 504\nTraceback "),
                                   HasSubstr("OSError: cancelled")));
}

TEST_F(CurrentRequestTest, RequestTimeoutOfABlockIsAnswered504Too) {
  const auto exchange = GetCutShort(
      "def app(environ, start_response):\n    try:\n        park(9)\n    except BaseException as error:\n"
      "        Timeout = type(error)\n    log.append(Timeout)\n");
  TakeMessage();
  const auto own = Get("def app(environ, start_response):\n    raise log[0]('of my own')\n");
  Expect504(*own);
  EXPECT_THAT(TakeMessage(), HasSubstr("RequestTimeout: of my own"));
}

TEST_F(CurrentRequestTest, ResponseThatHasBegunIsAborted) {
  const auto exchange =
      GetCutShort("def app(environ, start_response):\n    START\n    yield b'one'\n    park(9)\n    yield b'two'\n");
  EXPECT_TRUE(exchange->aborted());
  EXPECT_FALSE(exchange->finished());
  EXPECT_EQ(exchange->body(), "one");
  EXPECT_THAT(TakeMessage(), AllOf(HasSubstr("timed out after 1 s; its response had begun, the connection is closed\n"),
                                   HasSubstr("in app\n")));
}

TEST_F(CurrentRequestTest, ReadOfTheBodyThatIsCancelledRaisesTheException) {
  Serve("def app(environ, start_response):\n    environ['wsgi.input'].read()\n");
  FakeExchange exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", {"a"});
  StartNow(&exchange);
  exchange.FailReadingWith(absl::CancelledError("the request was cancelled"));
  RunGreen({[&] { HandleHere(&exchange); },
            [&] { exchange.EndRequest(CutShort::kTimedOut); }});  // while the first read yields
  Expect504(exchange);
  EXPECT_THAT(TakeMessage(), HasSubstr("RequestTimeout"));
}

TEST_F(CurrentRequestTest, ClientThatIsGoneIsOneLineInTheLogAndGetsNothing) {
  const auto exchange = GetCutShort(
      "def app(environ, start_response):\n    try:\n        park(9)\n    except BaseException as error:\n"
      "        log.append(error.reason)\n        raise\n",
      CutShort::kDisconnected);
  EXPECT_EQ(exchange->head_text(), "");
  EXPECT_TRUE(exchange->aborted());
  EXPECT_EQ(TakeMessage(), "GET /path?query: the client is gone; the request was cancelled after 1 s");
  EXPECT_EQ(Evaluate("log"), "['disconnected']");
}

TEST_F(CurrentRequestTest, DrainingIsTheReasonWhereItIs) {
  GetCutShort(
      "def app(environ, start_response):\n    try:\n        park(9)\n    except BaseException as error:\n"
      "        log.append(error.reason)\n        raise\n",
      CutShort::kDraining);
  EXPECT_EQ(TakeMessage(), "GET /path?query: the worker is draining; the request was cancelled after 1 s");
  EXPECT_EQ(Evaluate("log"), "['draining']");
}

TEST_F(CurrentRequestTest, WhatAnOperatorCancelsIsTold503WithTheReasonInTheApplication) {
  Serve(
      "def app(environ, start_response):\n    try:\n        park(9)\n    except BaseException as error:\n"
      "        log.append((type(error).__name__, error.reason))\n        raise\n");
  FakeExchange exchange(kGet);
  StartNow(&exchange);
  RunGreen({[&] { HandleHere(&exchange); },
            [&] {
              SleepUntil(kSecond);
              exchange.CancelRequest("too expensive");
            }});
  EXPECT_THAT(exchange.head_text(), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_EQ(exchange.body(), "Service Unavailable\n");
  EXPECT_EQ(Evaluate("log"), "[('Cancelled', 'too expensive')]");
  EXPECT_THAT(
      TakeMessage(),
      StartsWith("GET /path?query: cancelled after 1 s by an operator (too expensive); answered 503\nTraceback "));
}

TEST_F(CurrentRequestTest, WhatIsCancelledAndAnswersAllTheSameIsTold503) {
  Serve(
      "def app(environ, start_response):\n    try:\n        park(9)\n    except BaseException:\n        pass\n"
      "    START\n    return [b'done']\n");
  FakeExchange exchange(kGet);
  StartNow(&exchange);
  RunGreen({[&] { HandleHere(&exchange); },
            [&] {
              SleepUntil(kSecond);
              exchange.CancelRequest("stop");
            }});
  EXPECT_THAT(exchange.head_text(), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(TakeMessage(), HasSubstr("the application made something else of greenring.Cancelled, which was raised"));
}

TEST_F(CurrentRequestTest, TellsThePythonStackOfItsApplication) {
  Serve("def app(environ, start_response):\n    park(2)\n    START\n    return [b'done']\n");
  FakeExchange exchange(kGet);
  StartNow(&exchange);
  exchange.SetTimeout(9 * kSecond);
  std::string stack;
  RunGreen({[&] { HandleHere(&exchange); },
            [&] {
              SleepUntil(kSecond);
              stack = exchange.PythonStack();
            }});
  EXPECT_THAT(stack, HasSubstr(", in app\n"));
}

TEST_F(CurrentRequestTest, CloseIsNotDisturbedByWhatWasNotRaisedYet) {
  const auto exchange = GetCutting(
      "class Response:\n    def __iter__(self):\n        return self\n    def __next__(self):\n        cut()\n"
      "        return b'late'\n    def close(self):\n        log.append(park(5))\n"
      "def app(environ, start_response):\n    START\n    return Response()\n");
  Expect504(*exchange);
  EXPECT_EQ(exchange->closes(), 1);
  EXPECT_EQ(Evaluate("log"), "[True]");
  TakeMessage();
}

TEST_F(CurrentRequestTest, CloseThatHangsIsInterruptedAndTheResponseStands) {
  Serve(
      "class Response(list):\n    def __iter__(self):\n        return iter([b'whole'])\n"
      "    def close(self):\n        park(100)\n"
      "def app(environ, start_response):\n    START\n    return Response()\n");
  FakeExchange exchange(kGet);
  StartNow(&exchange);
  RunGreen({[&] { HandleHere(&exchange); },
            [&] {
              SleepUntil(kSecond);
              exchange.Interrupt(CutShort::kTimedOut);
            }});
  EXPECT_EQ(exchange.body(), "whole");
  EXPECT_TRUE(exchange.finished());
  EXPECT_EQ(AgeNs(), kSecond);
  EXPECT_THAT(TakeMessage(),
              AllOf(StartsWith("GET /path?query: close() of the response failed"), HasSubstr("RequestTimeout")));
}

TEST_F(CurrentRequestTest, NothingIsLeftForTheNextRequestOfTheCore) {
  Serve(
      "def app(environ, start_response):\n    START\n    if not log:\n        log.append(1)\n        cut()\n"
      "    else:\n        log.append(park(3))\n    return [b'hello']\n");
  FakeExchange first(kGet), second(kGet);
  exchange_ = &first;
  RunGreen({[&] {
    HandleHere(&first);
    HandleHere(&second);
  }});
  Expect504(first);
  TakeMessage();
  EXPECT_EQ(second.body(), "hello");
  EXPECT_EQ(Evaluate("log"), "[1, True]");
}

TEST_F(CurrentRequestTest, WhoGoesOnIsReportedWithWhereItIs) {
  Serve(
      "def swallow():\n    try:\n        park(100)\n    except BaseException:\n        park(5)\n"
      "def app(environ, start_response):\n    swallow()\n    START\n    return []\n");
  FakeExchange exchange(kGet);
  StartNow(&exchange);
  RunGreen({[&] { HandleHere(&exchange); },
            [&] {
              SleepUntil(kSecond);
              exchange.EndRequest(CutShort::kTimedOut);
              SleepUntil(3 * kSecond);
              exchange.ReportOverdue();
            }});
  EXPECT_THAT(TakeMessage(), AllOf(StartsWith("GET /path?query: still running after 3 s, although "
                                              "greenring.RequestTimeout was raised in it; it is in\n  File "),
                                   HasSubstr("in app\n"), HasSubstr("in swallow")));
  TakeMessage();
}

TEST_F(CurrentRequestTest, WhoHasEndedBeforeTheReportIsWrittenIsNotReported) {
  Serve("def app(environ, start_response):\n    START\n    park(60)\n    return [b'done']\n");
  FakeExchange exchange(kGet);
  StartNow(&exchange);
  green::GreenThread* core = nullptr;
  RunGreen({[&] {
              core = scheduler_.current();
              HandleHere(&exchange);
            },
            [&] {
              SleepUntil(kSecond);
              scheduler_.Unpark(core);   // it runs next, to its end,
              exchange.ReportOverdue();  // and then who reports
            }});
  EXPECT_EQ(exchange.body(), "done");
}

TEST_F(CurrentRequestTest, IsFoundFromItsGreenThreadWhileItRunsOnly) {
  Serve("def app(environ, start_response):\n    START\n    park(2)\n    return []\n");
  FakeExchange exchange(kGet);
  StartNow(&exchange);
  const green::GreenThread* core = nullptr;
  RunGreen({[&] {
              core = scheduler_.current();
              EXPECT_EQ(CurrentRequest::Current(), nullptr);
              HandleHere(&exchange);
              EXPECT_EQ(CurrentRequest::Current(), nullptr);
            },
            [&] {
              SleepUntil(kSecond);
              const CurrentRequest* request = CurrentRequest::Of(core);
              ASSERT_NE(request, nullptr);
              EXPECT_EQ(request->method(), "GET");
              EXPECT_EQ(request->target(), "/path?query");
              EXPECT_EQ(request->started_ns(), start_ns_);
              EXPECT_EQ(request->deadline_ns(), start_ns_ + kSecond);
              EXPECT_EQ(request->AgeNs(), kSecond);
              EXPECT_EQ(CurrentRequest::Current(), nullptr);
            }});
}

}  // namespace
}  // namespace greenring::pyhost
