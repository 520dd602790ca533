#include "pyhost/wsgi_handler.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pyhost/fake_exchange.h"
#include "pyhost/wsgi_handler_fixture.h"

namespace greenring::pyhost {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// What may be returned.

TEST_F(WsgiHandlerTest, AListOfOnePieceIsAWholeResponse) {
  const auto exchange = Get("def app(environ, start_response):\n    START\n    return [b'hello']\n");
  EXPECT_EQ(
      exchange->head_text(),
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: greenring\r\nDate: now\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(exchange->body(), "hello");
  EXPECT_TRUE(exchange->finished());
  EXPECT_THAT(exchange->events(), ElementsAre("sent hello"));
}

TEST_F(WsgiHandlerTest, SequencesOfBytesHaveAContentLength) {
  for (const char* value : {"[]", "()", "[b'']", "[b'ab', b'', b'c']", "(b'ab', b'c')"}) {
    const auto exchange = Get(std::string("def app(environ, start_response):\n    START\n    return ") + value + "\n");
    EXPECT_TRUE(exchange->finished());
    EXPECT_THAT(exchange->head_text(), HasSubstr("Content-Length: " + std::to_string(exchange->body().size())))
        << value;
    EXPECT_TRUE(exchange->body().empty() || exchange->body() == "abc") << value;
  }
}

TEST_F(WsgiHandlerTest, EachPieceOfAnIteratorIsFlushedBeforeTheNextIsAskedFor) {
  Serve(
      "def app(environ, start_response):\n    START\n    yield b'one'\n    seen.append(events())\n    yield b''\n"
      "    yield b'two'\n    seen.append(events())\n");
  FakeExchange exchange(kGet);
  static FakeExchange* current;
  current = &exchange;
  static PyMethodDef events = {
      "events", [](PyObject*, PyObject*) { return PyLong_FromSize_t(current->events().size()); }, METH_NOARGS, nullptr};
  const PyRef function(PyCFunction_New(&events, nullptr));
  PyDict_SetItemString(globals_.get(), "events", function.get());
  Execute("seen = []\n");
  Handle(&exchange);
  EXPECT_THAT(exchange.events(), ElementsAre("sent one", "flushed", "sent two", "flushed"));
  EXPECT_EQ(Evaluate("seen"), "[2, 4]");
  EXPECT_TRUE(exchange.framing().chunked());
  EXPECT_TRUE(exchange.finished());
}

TEST_F(WsgiHandlerTest, WriteSendsAtOnceAndBeforeWhatIsReturned) {
  const auto exchange =
      Get("def app(environ, start_response):\n    write = START\n    write(b'a')\n    write(b'')\n    write(b'b')\n"
          "    return [b'c']\n");
  EXPECT_THAT(exchange->events(), ElementsAre("sent a", "flushed", "sent b", "flushed", "sent c"));
  EXPECT_TRUE(exchange->finished());
}

TEST_F(WsgiHandlerTest, WhatIsNotBytesIsATypeError) {
  ExpectError(*Get("def app(environ, start_response):\n    START\n    return ['text']\n"), "must give bytes, not str");
  ExpectError(*Get("def app(environ, start_response):\n    START\n    return iter(['text'])\n"), "not str");
  ExpectError(*Get("def app(environ, start_response):\n    START\n    return b'bytes'\n"), "not int");
  ExpectError(*Get("def app(environ, start_response):\n    START\n"), "'NoneType' object is not iterable");
}

// start_response.

TEST_F(WsgiHandlerTest, StartResponseMayBeCalledByTheFirstNext) {
  const auto exchange = Get("def app(environ, start_response):\n    yield b''\n    START\n    yield b'late'\n");
  EXPECT_EQ(exchange->body(), "late");
}

TEST_F(WsgiHandlerTest, StartResponseMustBeCalled) {
  ExpectError(*Get("def app(environ, start_response):\n    return [b'x']\n"), "did not call start_response");
  ExpectError(*Get("def app(environ, start_response):\n    return iter([b'x'])\n"), "did not call start_response");
  ExpectError(*Get("def app(environ, start_response):\n    return iter([])\n"), "did not call start_response");
}

TEST_F(WsgiHandlerTest, StartResponseRefusesWhatPep3333Forbids) {
  const std::pair<const char*, const char*> calls[] = {
      {"(200, [])", "TypeError: start_response: the status must be str, not int"},
      {"('200', [])", "ValueError: start_response: the status must be three digits"},
      {"('200 \\u20ac', [])", "ValueError: start_response: the status must be latin-1"},
      {"('200 OK\\r\\nX: y', [])", "ValueError"},
      {"('200 OK', None)", "TypeError: start_response: the headers must be a list"},
      {"('200 OK', [('A', 'b', 'c')])", "TypeError: start_response: a header must be a tuple (name, value)"},
      {"('200 OK', ['AB'])", "TypeError: start_response: a header must be a tuple (name, value)"},
      {"('200 OK', [(b'A', 'b')])", "TypeError: start_response: a header's name and value must be str"},
      {"('200 OK', [('A', 5)])", "TypeError: start_response: a header's name and value must be str"},
      {"('200 OK', [('A', '\\u20ac')])", "ValueError: start_response: a header's name and value must be latin-1"},
      {"('200 OK', [('A', 'b\\r\\nX-Injected: c')])", "ValueError: start_response: control byte"},
      {"('200 OK', [('A b', 'c')])", "ValueError: start_response: a header's name must be a token"},
      {"('200 OK', [('Transfer-Encoding', 'chunked')])", "ValueError: start_response: hop-by-hop"},
      {"('200 OK')", "TypeError: start_response takes (status, headers, exc_info=None)"},
      {"('200 OK', [], None, None)", "TypeError: start_response takes (status, headers, exc_info=None)"},
      {"('200 OK', [], unknown=1)", "TypeError: start_response takes (status, headers, exc_info=None)"},
      {"('200 OK', [], (1, 2))", "TypeError: start_response: exc_info must be"},
  };
  for (const auto& [call, error] : calls) {
    ExpectError(*Get(std::string("def app(environ, start_response):\n    start_response") + call + "\n    return []\n"),
                error);
  }
}

TEST_F(WsgiHandlerTest, WishesAboutTheConnectionAreLeftOut) {
  const auto exchange =
      Get("def app(environ, start_response):\n"
          "    start_response('200 OK', [('Connection', 'keep-alive'), ('KEEP-ALIVE', 'timeout=5'), ('X-A', 'b')])\n"
          "    return [b'x']\n");
  EXPECT_THAT(exchange->head_text(), StartsWith("HTTP/1.1 200 OK\r\nX-A: b\r\nServer"));
}

TEST_F(WsgiHandlerTest, ASecondStartNeedsExcInfo) {
  ExpectError(*Get("def app(environ, start_response):\n    START\n    START\n    return []\n"), "AssertionError");
}

TEST_F(WsgiHandlerTest, ExcInfoReplacesAHeadThatWasNotSent) {
  const auto exchange = Get(
      "import sys\ndef app(environ, start_response):\n    START\n    yield b''\n    try:\n        1 / 0\n"
      "    except ZeroDivisionError:\n        start_response('503 Replaced', [('X-A', 'b')], exc_info=sys.exc_info())\n"
      "    yield b'x'\n");
  EXPECT_THAT(exchange->head_text(), StartsWith("HTTP/1.1 503 Replaced\r\nX-A: b\r\nServer"));
}

TEST_F(WsgiHandlerTest, ExcInfoIsRaisedAgainOnceTheHeadWasSent) {
  const auto exchange = Get(
      "import sys\ndef app(environ, start_response):\n    START\n    yield b'x'\n    try:\n        1 / 0\n"
      "    except ZeroDivisionError:\n        start_response('503 Late', [], sys.exc_info())\n    yield b'never'\n");
  EXPECT_EQ(exchange->body(), "x");
  EXPECT_TRUE(exchange->aborted());
  EXPECT_THAT(TakeMessage(), AllOf(HasSubstr("line 6, in app"), EndsWith("ZeroDivisionError: division by zero")));
}

TEST_F(WsgiHandlerTest, KeptCallablesRefuseToWorkAfterTheRequest) {
  Serve(
      "kept = []\ndef app(environ, start_response):\n    kept.append((start_response, START, environ['wsgi.input']))\n"
      "    return [b'x']\n");
  for (int i = 0; i < 2; ++i) {
    FakeExchange exchange(kGet);
    Handle(&exchange);
    EXPECT_EQ(exchange.body(), "x");
  }
  Execute(
      "def outcome(function, *arguments):\n    try: function(*arguments)\n    except Exception as error:"
      " return type(error).__name__\n    return 'worked'\n"
      "outcomes = [outcome(f, *a) for s, w, i in kept for f, a in ((s, ('200 OK', [])), (w, (b'x',)), (i.read, ()))]");
  EXPECT_EQ(Evaluate("outcomes"),
            "['RuntimeError', 'RuntimeError', 'ValueError', 'RuntimeError', 'RuntimeError', 'ValueError']");
}

// Errors.

TEST_F(WsgiHandlerTest, AnExceptionBeforeTheHeadIsA500AndALoggedTraceback) {
  const auto exchange = Get("def app(environ, start_response):\n    START\n    raise KeyError('lost')\n");
  EXPECT_THAT(exchange->body(), HasSubstr("Internal Server Error"));
  EXPECT_TRUE(exchange->finished());
  EXPECT_THAT(TakeMessage(), AllOf(HasSubstr("Traceback (most recent call last):\n"), EndsWith("KeyError: 'lost'")));
}

TEST_F(WsgiHandlerTest, SystemExitEndsOnlyTheRequest) {
  ExpectError(*Get("import sys\ndef app(environ, start_response):\n    sys.exit(3)\n"), "SystemExit: 3");
}

TEST_F(WsgiHandlerTest, AnExceptionWhoseTextFailsIsStillLogged) {
  ExpectError(*Get("class Bad(Exception):\n    def __str__(self): raise self\n"
                   "def app(environ, start_response):\n    raise Bad\n"),
              "Bad");
}

TEST_F(WsgiHandlerTest, AGoneClientEndsTheRequestQuietly) {
  Serve(
      "def app(environ, start_response):\n    START\n    try:\n        while True: yield b'x'\n"
      "    finally: closed.append(True)\n");
  Execute("closed = []\n");
  FakeExchange exchange(kGet);
  exchange.GoneAfter(3);
  Handle(&exchange);
  EXPECT_EQ(Evaluate("closed"), "[True]");
  EXPECT_FALSE(exchange.finished());
}

TEST_F(WsgiHandlerTest, AGoneClientIsAnErrorOfWriteAndOfReading) {
  Serve(
      "def app(environ, start_response):\n    write = START\n    try:\n        while True: write(b'x')\n"
      "    except OSError as error: errors.append(type(error).__name__); raise\n");
  Execute("errors = []\n");
  FakeExchange written(kGet);
  written.GoneAfter(2);
  Handle(&written);

  Serve(
      "def app(environ, start_response):\n    try: environ['wsgi.input'].read()\n"
      "    except OSError as error: errors.append(type(error).__name__); raise\n");
  FakeExchange read("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", {"abc"});
  read.FailReadingWith(absl::UnavailableError("reset by peer"));
  Handle(&read);
  EXPECT_EQ(Evaluate("errors"), "['ConnectionResetError', 'ConnectionResetError']");
}

TEST_F(WsgiHandlerTest, ABodyThatBreaksItsFramingIsABadRequest) {
  Serve("def app(environ, start_response):\n    environ['wsgi.input'].read()\n");
  FakeExchange exchange("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", {"abc"});
  exchange.FailReadingWith(absl::InvalidArgumentError("chunk size"));
  Handle(&exchange);
  EXPECT_THAT(exchange.head_text(), StartsWith("HTTP/1.1 400 Bad Request\r\n"));
}

// close().

constexpr const char kClosing[] =
    "closed = []\n"
    "class Closing:\n"
    "    def __init__(self, pieces): self.pieces = pieces\n"
    "    def __iter__(self): return iter(self.pieces)\n"
    "    def close(self): closed.append(True)\n";

TEST_F(WsgiHandlerTest, IterablesAreClosedOnceWhateverHappens) {
  for (const char* pieces : {"[b'a', b'b']", "[]", "['text']", "(1 / 0 for _ in 'x')"}) {
    Get(std::string(kClosing) + "def app(environ, start_response):\n    START\n    return Closing(" + pieces + ")\n");
    EXPECT_EQ(Evaluate("closed"), "[True]") << pieces;
  }
  log_.messages.clear();
}

TEST_F(WsgiHandlerTest, AFailingCloseIsLoggedAndTheResponseStands) {
  const auto exchange = Get(std::string(kClosing) +
                            "Closing.close = lambda self: 1 / 0\n"
                            "def app(environ, start_response):\n    START\n    return Closing([b'x'])\n");
  EXPECT_EQ(exchange->body(), "x");
  EXPECT_TRUE(exchange->finished());
  EXPECT_THAT(TakeMessage(), HasSubstr("ZeroDivisionError"));
}

// wsgi.input.

TEST_F(WsgiHandlerTest, ReadingIsBoundedByTheBody) {
  const std::vector<std::string> pieces = {"line one\nli", "ne two\n", "\nlast"};
  for (const bool chunked : {false, true}) {
    EXPECT_EQ(Read("body.read()", pieces, chunked), "b'line one\\nline two\\n\\nlast'");
    EXPECT_EQ(Read("[body.read(5), body.read(0), body.read(100), body.read(1)]", pieces, chunked),
              "[b'line ', b'', b'one\\nline two\\n\\nlast', b'']");
    EXPECT_EQ(Read("list(body)", pieces, chunked), "[b'line one\\n', b'line two\\n', b'\\n', b'last']");
    EXPECT_EQ(
        Read("[body.readline(), body.readline(3), body.read(2), body.readline(-1), body.read(None)]", pieces, chunked),
        "[b'line one\\n', b'lin', b'e ', b'two\\n', b'\\nlast']");
    EXPECT_EQ(Read("body.readlines()", pieces, chunked), "[b'line one\\n', b'line two\\n', b'\\n', b'last']");
    EXPECT_EQ(Read("[body.readlines(10), body.readlines(1)]", pieces, chunked),
              "[[b'line one\\n', b'line two\\n'], [b'\\n']]");
    EXPECT_EQ(Read("(lambda b: [body.readline(), body.readinto(b), b])(bytearray(4))", pieces, chunked),
              "[b'line one\\n', 2, bytearray(b'li\\x00\\x00')]");
    EXPECT_EQ(Read("[body.close(), body.read(4)]", pieces, chunked), "[None, b'line']");
  }
  EXPECT_EQ(Read("[body.read(), body.readline(), list(body)]", {}), "[b'', b'', []]");
}

TEST_F(WsgiHandlerTest, LargeBodiesAndLongLinesArriveWhole) {
  const std::vector<std::string> pieces = {std::string(300000, 'a'), std::string(700000, 'b') + "\n", "c"};
  EXPECT_EQ(Read("[len(body.read(10**12))]", pieces), "[1000002]");
  EXPECT_EQ(Read("[len(body.read())]", pieces, /*chunked=*/true), "[1000002]");
  EXPECT_EQ(Read("[len(line) for line in body]", pieces), "[1000001, 1]");
}

TEST_F(WsgiHandlerTest, OnlyTheRequestsOwnThreadMayReadAndWrite) {
  const auto exchange =
      Get("import threading\ndef app(environ, start_response):\n    write, outcomes = START, []\n"
          "    def attempt(function, argument):\n        try: function(argument)\n"
          "        except RuntimeError as error: outcomes.append(str(error).split()[0])\n"
          "    for function, argument in ((environ['wsgi.input'].read, 1), (write, b'x')):\n"
          "        thread = threading.Thread(target=attempt, args=(function, argument))\n"
          "        thread.start(); thread.join()\n"
          "    return [repr(outcomes).encode()]\n");
  EXPECT_EQ(exchange->body(), "['wsgi.input', 'write()']");
}

TEST_F(WsgiHandlerTest, SlowClientsParkOnlyTheirOwnGreenThread) {
  Serve(
      "import contextvars, sys, threading\nlocal = threading.local()\nvariable = contextvars.ContextVar('v')\norder = "
      "[]\n"
      "def app(environ, start_response):\n"
      "    me = environ['PATH_INFO']\n    local.me = me\n    variable.set(me)\n"
      "    try:\n        raise ValueError(me)\n    except ValueError:\n"
      "        for piece in iter(lambda: environ['wsgi.input'].read(1), b''): order.append(me)\n"
      "        assert (local.me, variable.get(), sys.exc_info()[1].args) == (me, me, (me,))\n"
      "    START\n    return [me.encode()]\n");
  FakeExchange first("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", {"a", "b", "c"});
  FakeExchange second("POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", {"d", "e", "f"});
  RunGreen({[&] { HandleHere(&first); }, [&] { HandleHere(&second); }});
  EXPECT_EQ(first.body(), "/1");
  EXPECT_EQ(second.body(), "/2");
  EXPECT_EQ(Evaluate("order"), "['/1', '/2', '/1', '/2', '/1', '/2']");
}

// wsgi.errors.

TEST_F(WsgiHandlerTest, ErrorsGoToTheLog) {
  Get("def app(environ, start_response):\n    e = environ['wsgi.errors']\n    START\n"
      "    return [str([e.write('caf\\xe9 \\ud800\\n'), e.writelines(['a', 'b']), e.flush()]).encode()]\n");
  EXPECT_EQ(log_.application_text, "caf\u00e9 \\ud800\nab");
  ExpectError(*Get("def app(environ, start_response):\n    environ['wsgi.errors'].write(b'x')\n"),
              "needs str, not bytes");
}

// wsgi.file_wrapper.

class FileTest : public WsgiHandlerTest {
 protected:
  void SetUp() override {
    WsgiHandlerTest::SetUp();
    path_ = std::filesystem::path(::testing::TempDir()) / "wsgi_handler_test_file";
    std::ofstream(path_) << "0123456789";
    Execute("import io, gzip, os\npath = '" + path_.string() + "'\n");
  }
  void TearDown() override {
    std::filesystem::remove(path_);
    WsgiHandlerTest::TearDown();
  }

  // Serves `file` (an expression), wrapped, and checks that it was closed.
  std::unique_ptr<FakeExchange> GetFile(const std::string& file, const std::string& headers = "[]") {
    auto exchange = Get("opened = " + file + "\ndef app(environ, start_response):\n    start_response('200 OK', " +
                        headers + ")\n    return environ['wsgi.file_wrapper'](opened, 3)\n");
    EXPECT_EQ(Evaluate("getattr(opened, 'closed', True)"), "True");
    EXPECT_TRUE(exchange->finished());
    return exchange;
  }

  std::filesystem::path path_;
};

TEST_F(FileTest, RegularFilesAreSentFromTheirPositionWithoutCopying) {
  for (const char* file : {"open(path, 'rb')", "open(path, 'rb', buffering=0)", "open(path, 'r+b')"}) {
    const auto exchange = GetFile(file);
    EXPECT_EQ(exchange->body(), "0123456789") << file;
    EXPECT_THAT(exchange->head_text(), HasSubstr("Content-Length: 10\r\n"));
    EXPECT_EQ(exchange->files(), 1) << file;
  }
  const auto exchange = GetFile("open(path, 'rb')\nopened.read(4)");
  EXPECT_EQ(exchange->body(), "456789");
  EXPECT_EQ(exchange->files(), 1);
}

TEST_F(FileTest, ContentLengthEndsAFile) {
  const auto exchange = GetFile("open(path, 'rb')", "[('Content-Length', '4')]");
  EXPECT_EQ(exchange->body(), "0123");
  EXPECT_EQ(exchange->files(), 1);
}

TEST_F(FileTest, WhatOnlyLooksLikeAFileIsIterated) {
  EXPECT_EQ(GetFile("io.BytesIO(b'memory')")->events().size(), 4u);
  EXPECT_EQ(GetFile("type('R', (), {'read': lambda self, n, p=[b'on', b'ly']: p.pop(0) if p else b''})()")->body(),
            "only");
  EXPECT_EQ(GetFile("type('Rot', (io.FileIO,), {'read': lambda self, n: io.FileIO.read(self, n)[::-1]})(path)")->body(),
            "2105438769");
  Execute("with gzip.open(path, 'wb') as f: f.write(b'unpacked')\n");
  EXPECT_EQ(GetFile("gzip.open(path)")->body(), "unpacked");
  EXPECT_THAT(GetFile("open('/proc/self/stat', 'rb')")->body(), HasSubstr("("));
}

TEST_F(FileTest, AnEmptyRestIsAnEmptyBody) { EXPECT_EQ(GetFile("open(path, 'rb')\nopened.seek(0, 2)")->body(), ""); }

// Nothing is left behind.

TEST_F(WsgiHandlerTest, ThousandsOfRequestsLeaveNothingBehind) {
  Serve(
      "import sys\ndef app(environ, start_response):\n    kind = environ['PATH_INFO']\n"
      "    if kind == '/raise': raise ValueError\n"
      "    if kind == '/read': environ['wsgi.input'].readline()\n"
      "    write = START\n    environ['cycle'] = environ\n"
      "    if kind == '/write': write(b'x')\n"
      "    if kind == '/again':\n        try: 1 / 0\n        except ZeroDivisionError: START\n"
      "    if kind == '/file': return environ['wsgi.file_wrapper'](open('/proc/self/stat', 'rb'))\n"
      "    return iter([b'a', b'b']) if kind == '/iter' else [b'hello']\n");
  const auto thousand = [this] {
    RunGreen({[this] {
      for (int i = 0; i < 1000; ++i) {
        for (const char* kind : {"list", "raise", "read", "write", "again", "file", "iter"}) {
          FakeExchange exchange(std::string("POST /") + kind + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n",
                                {"a\nb\n"});
          HandleHere(&exchange);
        }
      }
    }});
    log_.messages.clear();
  };
  thousand();
  const int64_t before = AllocatedBlocks();
  thousand();
  EXPECT_NEAR(AllocatedBlocks(), before, 300);  // of 7000 requests
}

}  // namespace
}  // namespace greenring::pyhost
