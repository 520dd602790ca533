// What the module tells of the process and of the request, and what it does with descriptors.
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "gmock/gmock.h"
#include "pyhost/uwsgi/uwsgi_fixture.h"

namespace greenring::pyhost {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CallsTest : public UwsgiTest {};

TEST_F(CallsTest, TheWorkerAndItsMaster) {
  EXPECT_EQ(Evaluate("(uwsgi.worker_id(), uwsgi.masterpid(), uwsgi.mule_id(), uwsgi.i_am_the_spooler(), uwsgi.numproc, "
                     "uwsgi.cores, uwsgi.loop, uwsgi.has_threads, uwsgi.sockets)"),
            "(2, 4711, 0, None, 4, 30, b'async', 1, [])");
}

TEST_F(CallsTest, Attributes) {
  EXPECT_EQ(Evaluate("sorted(uwsgi.opt.items())"),
            "[('async', b'30'), ('enable-threads', True), ('home', b'/srv'), ('lazy-apps', True), ('master', True), "
            "('mode', b'test'), ('processes', b'4'), ('strict', True)]");
  EXPECT_EQ(Evaluate("(uwsgi.mode, hasattr(uwsgi, 'pidfile'), uwsgi.SPOOL_OK, uwsgi.SPOOL_RETRY, uwsgi.SPOOL_IGNORE)"),
            "(b'test', False, -2, -1, 0)");
  EXPECT_EQ(Evaluate("'.'.join(map(str, uwsgi.version_info[:3])).encode() == uwsgi.version"), "True");
  EXPECT_EQ(Evaluate("(uwsgi.hostname.decode() == socket.gethostname(), uwsgi.is_a_reload, uwsgi.applications, "
                     "type(uwsgi.started_on), uwsgi.buffer_size, uwsgi.magic_table[b'V'] == uwsgi.version)"),
            "(True, False, None, <class 'int'>, 4096, True)");
}

TEST_F(CallsTest, TimeAndMemory) {
  EXPECT_EQ(Evaluate("abs(uwsgi.micros() / 1e6 - __import__('time').time()) < 60"), "True");
  EXPECT_EQ(Evaluate("1 << 20 < uwsgi.mem()[0] < uwsgi.mem()[1]"), "True");
}

TEST_F(CallsTest, WithoutAnAnswerOfTheMasterThereIsThisWorker) {
  EXPECT_EQ(Evaluate("[(w['id'], w['pid'] == os.getpid(), w['requests'], w['status'], w['apps']) for w in "
                     "uwsgi.workers()], uwsgi.total_requests()"),
            "([(2, True, 11, b'idle', ())], 11)");
  EXPECT_EQ(Call("result = uwsgi.workers()[0]['status']"), "b'busy'") << "by this request";
}

TEST_F(CallsTest, WhatThisWorkerIsNowItKnowsBetterThanTheMaster) {
  UwsgiWorker own;
  own.id = 2;
  own.pid = getpid();
  own.requests = 3;
  host_.workers = std::vector<UwsgiWorker>{own};
  EXPECT_EQ(Call("own, = uwsgi.workers()\n"
                 "result = own['requests'], own['status'], own['rss'] > 1 << 20, own['vsz'] > own['rss']"),
            "(11, b'busy', True, True)");
}

TEST_F(CallsTest, WorkersAreWhatTheMasterSays) {
  UwsgiWorker first, second;
  first.id = 1;
  first.requests = 5;
  first.avg_rt_us = 7;
  second.id = 2;
  second.requests = 6;
  second.busy = true;
  host_.workers = std::vector<UwsgiWorker>{first, second};
  EXPECT_EQ(Evaluate("[(w['id'], w['status'], w['avg_rt']) for w in uwsgi.workers()], uwsgi.total_requests()"),
            "([(1, b'idle', 7), (2, b'busy', 0)], 11)");
  EXPECT_EQ(Evaluate("sorted(uwsgi.workers()[0])"),
            "['apps', 'avg_rt', 'delta_requests', 'exceptions', 'id', 'last_spawn', 'pid', 'requests', "
            "'respawn_count', 'rss', 'running_time', 'signals', 'status', 'tx', 'vsz']");
}

TEST_F(CallsTest, TheMasterIsAskedAndItsAbsenceLogged) {
  EXPECT_EQ(Evaluate("(uwsgi.reload(), uwsgi.stop())"), "(None, None)");
  EXPECT_THAT(host_.lines, ElementsAre("uwsgi.reload(): no master", "uwsgi.stop(): no master"));
  host_.asked = absl::OkStatus();
  EXPECT_EQ(Evaluate("(uwsgi.reload(), uwsgi.stop())"), "(True, True)");
}

TEST_F(CallsTest, LinesGoToTheLog) {
  EXPECT_EQ(Evaluate("(uwsgi.log('caf\\u00e9'), uwsgi.log(b'bytes'), uwsgi.alarm('disk', 'full'))"),
            "(True, True, None)");
  EXPECT_THAT(host_.lines, ElementsAre("caf\xc3\xa9", "bytes", "alarm disk: full"));
  EXPECT_THAT(Call("uwsgi.log(1)"), StartsWith("TypeError"));
}

TEST_F(CallsTest, ListenQueueKnowsItsSockets) {
  EXPECT_EQ(Call("uwsgi.listen_queue()"), "ValueError('unable to find socket 0')");
  EXPECT_EQ(Call("uwsgi.listen_queue(-1)"), "ValueError('unable to find socket -1')");
}

TEST_F(CallsTest, TheProcessIsRenamed) {
  EXPECT_EQ(Call("before = open('/proc/self/comm').read().strip()\nuwsgi.setprocname('shop')\n"
                 "result = open('/proc/self/comm').read()\nuwsgi.setprocname(before)"),
            "'shop\\n'");
}

TEST_F(CallsTest, TheRequest) {
  request_ = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(Call("result = uwsgi.cl(), uwsgi.request_id(), uwsgi.env is environ, uwsgi.log_this_request(), "
                 "uwsgi.accepting(), uwsgi.accepting(False), environ['uwsgi.core']"),
            "(0, 7, True, None, None, None, 0)");
  EXPECT_EQ(Evaluate("hasattr(uwsgi, 'env')"), "False");
}

TEST_F(CallsTest, EnvironHasTheExtras) {
  EXPECT_EQ(Call("result = (environ['uwsgi.version'] == uwsgi.version, environ['uwsgi.node'] == uwsgi.hostname, "
                 "environ['x-wsgiorg.fdevent.readable'] is uwsgi.wait_fd_read, environ['x-wsgiorg.fdevent.writable'] "
                 "is uwsgi.wait_fd_write, environ['x-wsgiorg.fdevent.timeout'], environ['uwsgi.ready_fd'])"),
            "(True, True, True, True, None, None)");
}

TEST_F(CallsTest, VariablesOfTheRequest) {
  EXPECT_EQ(
      Call("result = (uwsgi.set_logvar('a', 'b'), uwsgi.get_logvar('a'), uwsgi.get_logvar(b'none'), "
           "uwsgi.set_logvar('a', b'\\xff'), uwsgi.get_logvar('a'), uwsgi.add_var('KEY', 'value'), environ['KEY'])"),
      "(None, b'b', None, None, b'\\xff', True, 'value')");
  EXPECT_THAT(Call("uwsgi.set_logvar('a')"), StartsWith("TypeError('set_logvar() takes (key, value)"));
  EXPECT_THAT(Call("uwsgi.set_logvar('a', 1)"), StartsWith("TypeError"));
}

TEST_F(CallsTest, TheEarlierDeadlineCounts) {
  Call("uwsgi.set_user_harakiri(1.5)");
  EXPECT_EQ(exchange_->timeout_ns(), clock_.NowNs() + 1'500'000'000) << "from now, not from the request's beginning";
  Call("uwsgi.set_user_harakiri(1)\nuwsgi.set_user_harakiri(0)");
  EXPECT_EQ(exchange_->timeout_ns(), kNeverNs);
  EXPECT_THAT(Call("uwsgi.set_user_harakiri('a')"), StartsWith("TypeError"));
}

TEST_F(CallsTest, ThePiecesOfABodyInChunks) {
  request_ = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  pieces_ = {"one", "two"};
  arrived_ = 2;
  EXPECT_EQ(Call("result = uwsgi.chunked_read(), uwsgi.chunked_read(1e9), uwsgi.chunked_read(), uwsgi.chunked_read()"),
            "(b'one', b'two', b'', b'')");
  arrived_ = 1;
  EXPECT_EQ(Call("result = uwsgi.chunked_read_nb(), uwsgi.chunked_read_nb()"), "(b'one', None)");
  EXPECT_THAT(Call("uwsgi.chunked_read()\nuwsgi.chunked_read(1)"), StartsWith("TimeoutError('unable to receive"));
}

TEST_F(CallsTest, AChunkIsGivenWhole) {
  request_ = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  pieces_ = {"be", "gun"};
  arrived_ = 1;
  chunk_left_bytes_ = 3;
  EXPECT_EQ(Call("result = uwsgi.chunked_read_nb(), uwsgi.chunked_read()"), "(None, b'begun')");
}

TEST_F(CallsTest, ADisconnectCompletesTheResponse) {
  EXPECT_EQ(Call("uwsgi.disconnect()\nuwsgi.disconnect()\nresult = 'dropped'"), "");
  EXPECT_TRUE(exchange_->disconnected());
  EXPECT_TRUE(exchange_->finished());
}

TEST_F(CallsTest, AfterADisconnectTheApplicationGoesOn) {
  Request(
      "steps = []\ndef app(environ, start_response):\n    START\n    yield b'sent'\n    uwsgi.disconnect()\n"
      "    for i in range(3):\n        steps.append(i)\n        yield b'dropped'\n");
  EXPECT_EQ(exchange_->body(), "sent");
  EXPECT_TRUE(exchange_->finished());
  EXPECT_EQ(Evaluate("steps"), "[0, 1, 2]");
}

TEST_F(CallsTest, ADisconnectNeedsNoResponse) {
  Request("def app(environ, start_response):\n    uwsgi.disconnect()\n    return []\n");
  EXPECT_TRUE(exchange_->disconnected());
  EXPECT_EQ(exchange_->head_text(), "");
}

TEST_F(CallsTest, TheClientsDescriptorIsADuplicateThatTheApplicationMayClose) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  client_fd_ = pair[0];
  EXPECT_EQ(Call("fd = uwsgi.connection_fd()\nresult = fd == uwsgi.connection_fd(), os.path.sameopenfile(fd, " +
                 std::to_string(pair[0]) + "), uwsgi.send(b'raw')"),
            "(True, True, True)");
  char text[4] = {};
  EXPECT_EQ(read(pair[1], text, sizeof text), 3);
  // What has the number by then stays open.
  EXPECT_EQ(
      Call("fd = uwsgi.connection_fd()\nuwsgi.close(fd)\nkept = os.open('/dev/null', 0)\nglobals()['kept'] = kept\n"
           "result = fd == kept"),
      "True");
  EXPECT_EQ(Evaluate("os.close(kept)"), "None");
  close(pair[0]);
  EXPECT_EQ(read(pair[1], text, sizeof text), 0) << "no duplicate is left";
  close(pair[1]);
}

TEST_F(CallsTest, DescriptorsByHand) {
  core_.results = {0, 0};
  EXPECT_EQ(Call("a, b = socket.socketpair()\nresult = (uwsgi.send(a.fileno(), b'12345'), uwsgi.recv(b.fileno(), 2), "
                 "uwsgi.recv(b.fileno()), uwsgi.is_connected(a.fileno()), a.close(), uwsgi.recv(b.fileno()))"),
            "(True, b'12', b'345', True, None, None)");
  EXPECT_EQ(Call("result = (uwsgi.recv(99999), uwsgi.send(99999, b'x'), uwsgi.is_connected(-1), uwsgi.close(99999), "
                 "uwsgi.connect('/nowhere'), uwsgi.async_connect('/nowhere'), uwsgi.connect('x' * 200))"),
            "(None, None, False, None, -1, -1, -1)");
  EXPECT_THAT(Call("uwsgi.recv(0, -1)"), StartsWith("ValueError"));
  EXPECT_THAT(Call("uwsgi.send('text')"), StartsWith("TypeError"));
  EXPECT_THAT(Call("uwsgi.send()"), StartsWith("TypeError"));
}

TEST_F(CallsTest, AConnectionIsMadeInTime) {
  core_.results = {0};
  EXPECT_EQ(Call("listener = socket.create_server(('127.0.0.1', 0))\n"
                 "fd = uwsgi.connect('127.0.0.1:%d' % listener.getsockname()[1], 0.5)\n"
                 "result = fd >= 0 and (uwsgi.is_connected(fd), os.get_blocking(fd), uwsgi.close(fd))"),
            "(True, True, None)");
  EXPECT_THAT(core_.waits, ElementsAre(HasSubstr("w) 500000000")));
  core_.waits.clear();
  EXPECT_EQ(Call("listener = socket.create_server(('127.0.0.1', 0))\n"
                 "result = uwsgi.connect('127.0.0.1:%d' % listener.getsockname()[1])"),
            "-1");  // the core says that the time has passed
  EXPECT_THAT(core_.waits, ElementsAre(HasSubstr("w) 3000000000")));
}

TEST_F(CallsTest, TheHooksAreCalledAndTheirErrorsLogged) {
  Execute(
      "calls = []\nuwsgi.after_req_hook = lambda: calls.append('request')\n"
      "uwsgi.post_fork_hook = lambda: calls.append(uwsgi.ready())\nuwsgi.atexit = lambda: 1 / 0\n");
  Call("result = 1");
  UwsgiModule::AfterImport();
  UwsgiModule::AtExit();
  EXPECT_EQ(Evaluate("(calls, uwsgi.ready())"), "(['request', None], True)");
  EXPECT_THAT(host_.lines, ElementsAre(AllOf(StartsWith("uwsgi.atexit failed\nTraceback"), HasSubstr("division"))));
  Execute("uwsgi.after_req_hook = lambda: 1 / 0\n");
  Call("result = 1");
  EXPECT_THAT(TakeMessage(), HasSubstr("ZeroDivisionError"));
  Execute("uwsgi.after_req_hook = None\ndel uwsgi.atexit\nuwsgi.post_fork_hook = None\n");
}

}  // namespace
}  // namespace greenring::pyhost
