"""Engine `thread` from outside: what lists and dumps tell of an OS thread, what is raised in it, and how it is lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from case import ServerCase
from fixture import Server, eventually
from link import listening_socket
from test_worker_process import WorkerCase

APP = "core_thread_app"
EXIT_UNFIT = 3
_SOURCE = r"""
int recurse(int depth) {
  volatile char frame[512];
  frame[0] = (char)depth;
  return recurse(depth + 1) + frame[0];
}
"""
_library = None


def setUpModule():
    global _library
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return
    directory = tempfile.mkdtemp()
    unittest.addModuleCleanup(shutil.rmtree, directory)
    source = os.path.join(directory, "overflow.c")
    with open(source, "w") as file:
        file.write(_SOURCE)
    _library = os.path.join(directory, "overflow.so")
    subprocess.run([compiler, "-O1", "-fno-optimize-sibling-calls", "-shared", "-fPIC", "-w", "-o", _library, source],
                   check=True)


def seconds(duration):
    return duration.seconds + duration.nanos / 1e9


class InFlight(WorkerCase):
    def setUp(self):
        self.started = self.worker(APP, pool={"engine": "THREAD"}, sockets=[listening_socket()])
        self.started.start()

    def begin(self, target):
        connection = self.started.connect()
        self.addCleanup(connection.close)
        connection.send_request("GET", target)
        return connection

    def listed(self):
        return list(self.started.ask(list_requests={"count_max": 100}).request_list.requests)

    def await_one(self, what, matches):
        return eventually(lambda: next(filter(matches, self.listed()), None), what)

    def stack_of(self, request):
        return self.started.ask(get_stack={"request": int(request.name)}).stack_text.python

    def test_a_call_that_blocks_is_told_with_its_stack(self):
        self.begin("/sleep?30")
        request = self.await_one("the sleep", lambda one: one.call == "clock_nanosleep")
        self.assertEqual(request.state, request.ON_THREAD)
        self.assertEqual(request.fd, -1)
        self.assertGreater(request.stack_use_bytes, 1024)
        self.assertLess(request.stack_use_bytes, 1 << 20)
        self.assertGreaterEqual(request.stack_size_bytes, 8 << 20)
        self.assertLess(seconds(request.cpu_time), 5)
        self.assertIn(", in sleep", self.stack_of(request))

    def test_a_descriptor_is_told_with_its_peer(self):
        self.begin("/recv")
        request = self.await_one("the recv", lambda one: one.call == "recv")
        self.assertGreater(request.fd, 2)
        self.assertEqual(request.peer, "unix")

    def test_who_computes_is_charged(self):
        self.begin("/compute?30")
        request = self.await_one("processor time", lambda one: seconds(one.cpu_time) >= 0.1)
        self.assertEqual(request.state, request.ON_THREAD)
        self.assertIn(request.call, ("", "GIL"))
        self.assertIn(", in compute", self.stack_of(request))
        self.assertLessEqual(seconds(request.cpu_time), seconds(request.age) + 0.01)

    def test_who_waits_for_the_gil_is_told_so(self):
        for _ in range(3):
            self.begin("/compute?30")
        self.await_one("one that waits", lambda one: one.call == "GIL")

    def test_a_wait_for_the_client_is_the_loop_s(self):
        connection = self.begin("/")
        connection.read_response()
        connection.send(b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n")
        request = self.await_one("the read", lambda one: one.call == "request body")
        self.assertEqual(request.state, request.PARKED)
        self.assertTrue(request.peer)
        connection.send(b"abc")
        self.assertEqual(connection.read_response().body, b"abc")

    def test_accounts_are_those_of_the_request(self):
        with self.started.connect() as connection:
            self.assertEqual(connection.get("/compute?0.5").body, b"computed")
            connection.send_request("GET", "/sleep?30")
            request = self.await_one("the sleep", lambda one: one.call == "clock_nanosleep")
        self.assertLess(seconds(request.cpu_time), 0.2)

    def test_a_cancel_says_why(self):
        connection = self.begin("/compute?30")
        request = self.await_one("the request", lambda one: one.state == one.ON_THREAD)
        self.started.ask(cancel_request={"request": int(request.name), "reason": "too slow"})
        self.assertEqual(connection.read_response().status, 503)
        with self.started.connect() as other:
            self.assertEqual(json.loads(other.get("/raised").body), [["Cancelled", "too slow", None, "too slow"]])
        self.started.log.expect(r"GET /compute\?30: cancelled after \S+ s by an operator \(too slow\); answered 503")

    def test_a_thousand_are_listed_quickly(self):
        worker = self.worker(APP, pool={"engine": "THREAD", "async_cores": 1000})
        worker.start()
        for _ in range(1000):
            connection = worker.connect()
            self.addCleanup(connection.close)
            connection.send_request("GET", "/sleep?60")

        def listed():
            began = time.monotonic()
            found = worker.ask(list_requests={"count_max": 2000}).request_list.requests
            took = time.monotonic() - began
            asleep = [one for one in found if one.call == "clock_nanosleep"]
            return len(asleep) == 1000 and took
        took = eventually(listed, "1,000 that sleep", deadline_s=60)
        print(f"    1,000 listed in {took * 1000:.1f} ms")
        self.assertLess(took, 2)


class Dump(unittest.TestCase):
    def test_it_tells_what_the_os_threads_do(self):
        usual = (r"^$", r"^  ", r"^\d* ?green thread", r"^OS thread", r"dump of \d+ green threads")
        with Server(APP, "--request_timeout=60s", engine="thread", usual=usual) as server:
            with server.connect() as sleeps, server.connect() as computes:
                sleeps.send_request("GET", "/sleep?2")
                computes.send_request("GET", "/compute?2")
                eventually(lambda: len(server.os_threads()) >= 4, "two cores to run")
                time.sleep(0.3)
                server.process.send_signal(signal.SIGUSR1)
                server.log.expect(r"  File .*, in (sleep|compute)$")
                server.log.expect(r"  File .*, in (sleep|compute)$")
                blocks = server.log.text()[server.log.text().index("dump of"):].split("\n\n")
                sleeping = next(block for block in blocks if "GET /sleep?2" in block)
                computing = next(block for block in blocks if "GET /compute?2" in block)
                self.assertRegex(sleeping, r'^green thread \d+ "core": on OS thread \d+ for \d\.\d{3} s, waits in clock_nanosleep\n'
                                           r"  GET /sleep\?2, for \d\.\d{3} s, times out in 5\d\.\d{3} s\n"
                                           r"  ran 0\.\d{3} s in \d+ switches, stack \d+ of 8192 KiB\n")
                self.assertRegex(computing, r"computes\n|waits in GIL\n")
                self.assertIn("in compute", computing)
                self.assertNotIn("in sleep", computing)
                self.assertEqual(sleeps.read_response().status, 200)
                self.assertEqual(computes.read_response().status, 200)


class Raised(ServerCase):
    app = APP
    engine = "thread"
    flags = ("--async_cores=4", "--request_timeout=0.5s", "--request_timeout_grace=30s")
    usual = ("timed out after", "RequestTimeout", "Traceback", "  File", "    ", "the client is gone")

    def raised(self):
        return json.loads(self.request("GET", "/raised").body)

    def test_code_that_computes_gets_the_seconds_that_it_had(self):
        for _ in range(5):
            self.assertEqual(self.request("GET", "/compute?20").status, 504)
        self.assertEqual(self.raised(), [["RequestTimeout", "it took more than 0.5 s", 0.5, None]] * 5)

    def test_a_read_of_the_body_gets_them_too(self):
        with self.connect() as connection:
            connection.send(b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
            self.assertEqual(connection.read_response().status, 504)
        self.assertEqual(self.raised(), [["RequestTimeout", "it took more than 0.5 s", 0.5, None]])

    def test_a_call_that_blocks_gets_them_when_it_is_over(self):
        self.assertEqual(self.request("GET", "/sleep?1").status, 504)
        self.assertEqual(self.raised(), [["RequestTimeout", "it took more than 0.5 s", 0.5, None]])

    def test_a_time_that_the_view_sets_is_what_is_told(self):
        self.assertEqual(self.request("GET", "/limited?0.25").status, 504)
        self.assertEqual(self.raised(), [["RequestTimeout", "it took more than 0.25 s", 0.25, None]])

    def test_a_client_that_is_gone_is_the_reason(self):
        with self.connect() as connection:
            connection.send_request("GET", "/limited?")
            time.sleep(0.2)
        self.expect_log(r"GET /limited\?: the client is gone; the request was cancelled")
        self.assertEqual(self.raised(), [["Cancelled", "disconnected", None, "disconnected"]])

    def test_the_application_s_own_are_its_own(self):
        self.assertEqual(json.loads(self.request("GET", "/own").body),
                         [["RequestTimeout", "mine", None], ["RequestTimeout", "", None], ["Cancelled", "", None]])

    def test_where_it_was_raised_is_logged(self):
        self.assertEqual(self.request("GET", "/compute?20").status, 504)
        self.expect_log(r"GET /compute\?20: timed out after")
        self.expect_log(r", in compute$")


class Overdue(unittest.TestCase):
    def test_who_goes_on_after_the_grace_costs_the_worker(self):
        for target in ("/sleep?60", "/stubborn?60"):
            with self.subTest(target=target):
                server = Server(APP, "--async_cores=4", "--request_timeout=0.3s", "--request_timeout=/compute=60s",
                                "--request_timeout_grace=0.3s", "--drain_timeout=1s", engine="thread").start()
                try:
                    with server.connect() as connection, server.connect() as neighbour:
                        began = time.monotonic()
                        neighbour.send_request("GET", "/compute?1")
                        connection.send_request("GET", target)
                        self.assertEqual(connection.read_response().status, 504)
                        self.assertGreaterEqual(time.monotonic() - began, 0.6)
                        self.assertEqual(neighbour.read_response().body, b"computed")
                    server.log.expect(r"does not end although it has timed out: draining")
                    server.log.expect(rf"GET {re.escape(target)}: still running after")
                    server.log.expect(r"in (sleep|stubborn)$")
                    server.log.expect(r"1 requests did not end after the drain; exiting without them", deadline_s=20)
                    self.assertEqual(server.wait(), EXIT_UNFIT)
                finally:
                    if server.process.poll() is None:
                        server.kill()


@unittest.skipUnless(shutil.which("gcc") or shutil.which("cc"), "no C compiler")
class StackOverflow(unittest.TestCase):
    def start(self, *flags, **options):
        server = Server(APP, "--async_cores=8", *flags, engine="thread", env={"OVERFLOW_LIBRARY": _library}, **options)
        self.addCleanup(lambda: server.process and server.process.poll() is None and server.kill())
        return server.start()

    def test_it_costs_the_request_and_the_others_in_flight_finish(self):
        for kind in ("gil", "nogil"):
            with self.subTest(kind=kind):
                server = self.start()
                neighbours = [server.connect() for _ in range(3)]
                for number, neighbour in enumerate(neighbours):
                    neighbour.send_request("GET", "/compute?1" if number else "/sleep?1")
                time.sleep(0.3)
                with server.connect() as connection:
                    self.assertEqual(connection.get(f"/lost?{kind}").status, 500)
                    self.assertEqual(connection.read_until_close(), b"")
                for neighbour in neighbours:
                    self.assertEqual(neighbour.read_response().status, 200)
                    neighbour.close()
                server.log.expect(r"stack overflow: OS thread \d+ used up its 8192 KiB of stack; it is abandoned")
                server.log.expect(rf"GET /lost\?{kind}: the stack of its OS thread overflowed; the request is lost")
                server.log.expect(r"the stack of an OS thread is lost")
                server.log.expect(r"in lost$")
                self.assertEqual(server.wait(), EXIT_UNFIT)

    def test_several_at_a_time_each_get_500(self):
        server = self.start()
        connections = [server.connect() for _ in range(5)]
        for connection in connections:
            connection.send_request("GET", "/lost?gil")
        for connection in connections:
            self.assertEqual(connection.read_response().status, 500)
            connection.close()
        self.assertEqual(server.wait(), EXIT_UNFIT)

    def test_recursion_of_python_is_an_error_like_everywhere(self):
        server = self.start()
        with server.connect() as connection:
            self.assertEqual(connection.get("/recursion").body, b"RecursionError")
        server.stop()

    def test_a_master_replaces_the_worker(self):
        with tempfile.TemporaryDirectory() as directory:
            server = Server(APP, "--workers=1", f"--control=unix:{directory}/control", engine="thread", master="on",
                            env={"OVERFLOW_LIBRARY": _library}, usual=("",)).start()
            try:
                with server.connect() as connection:
                    self.assertEqual(connection.get("/lost?gil").status, 500)
                server.log.expect(r"exit status 3")
                def serves():
                    with server.connect() as connection:
                        return connection.get("/").body == b"hello"
                eventually(serves, "the next worker to serve")
                server.stop()
            finally:
                if server.process.poll() is None:
                    server.kill()


class Process(ServerCase):
    """What belongs to the process, from a core that is an OS thread."""

    app = APP
    engine = "thread"
    flags = ("--async_cores=4", "--time_slice=10ms", "--python_threads=green")
    usual = ("made by fork on a core's OS thread",)

    def json(self, target):
        return json.loads(self.request("GET", target).body)

    def test_a_child_of_fork_runs_on_its_own(self):
        self.assertEqual([self.json("/fork") for _ in range(5)], [7] * 5)

    def test_a_child_that_comes_back_to_the_server_ends_with_a_message(self):
        self.assertEqual(self.json("/fork-returns"), os.EX_SOFTWARE)
        self.expect_log("such a process must end with os._exit")
        self.assert_alive()

    def test_subprocesses_work(self):
        self.assertEqual(self.request("GET", "/subprocess").body, b"told\n")

    def test_signal_handlers_run_on_the_main_thread_only(self):
        self.assertEqual(self.json("/signal"), [True, "ValueError"])

    def test_go_runs_on_a_green_thread_of_the_loop(self):
        self.assertEqual(self.json("/go"), [True, True, False])

    def test_locals_are_the_core_s_and_not_its_threads_which_are_os_threads(self):
        counts = {}
        for _ in range(5):
            ident, count, seen, green = self.json("/local")
            counts[ident] = counts.get(ident, 0) + 1
            self.assertEqual((count, seen, green), (counts[ident], False, False))

    def test_a_core_that_computes_lets_the_others_run(self):
        with self.connect() as busy:
            busy.send_request("GET", "/compute?1.5")
            began = time.monotonic()
            for _ in range(5):
                self.assertEqual(self.request("GET", "/").body, b"hello")
            self.assertLess(time.monotonic() - began, 1.2)
            self.assertEqual(busy.read_response().body, b"computed")


class Audit(unittest.TestCase):
    def test_a_call_that_blocks_a_core_s_os_thread_is_no_finding(self):
        server = Server(APP, "--audit", engine="thread", usual=(".",)).start()
        with server.connect() as connection:
            self.assertEqual(connection.get("/sleep?0.5").body, b"slept")
        server.stop()
        self.assertIn("audit", server.log.text())
        self.assertNotIn("in sleep", server.log.text())


if __name__ == "__main__":
    unittest.main()
