"""A stack overflow hurts one request: M14 with neighbours that survive, and measure that nothing disturbed them."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from case import ServerCase, on_each_engine
from fixture import ENGINES, Server

EXIT_UNFIT = 3

# The file of C code is compiled by the test: an extension that never meets Python.
_SOURCE = r"""
#include <unistd.h>
int recurse(int depth) {
  volatile char frame[512];
  frame[0] = (char)depth;
  return recurse(depth + 1) + frame[0];
}
void hang(void) {
  for (;;) pause();
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


# What the server says of an overflow, and of the RecursionError that nobody caught.
_SAID = (r"stack overflow: green thread \d+ \(core\) used up its \d+ KiB of stack; it is made to end its recursion",
         r"\] stacks: deepest use \d+ KiB of \d+ KiB, \d+ overflows; recommended --stack_size=\d+KiB")
_TRACEBACK = (r"the application failed", r"^Traceback", r"^  ", r"^RecursionError", r"^    ", r"^\s*\[Previous line",
              r"^During handling", r"^The above exception", r"^$")


class Neighbour:
    """A request that waits beside the others for SECONDS; `result` is its status and the longest of its sleeps."""

    def __init__(self, server, seconds):
        self.response = None
        self._thread = threading.Thread(target=self._run, args=(server, seconds))
        self._thread.start()

    def _run(self, server, seconds):
        with server.connect() as connection:
            self.response = connection.get(f"/wait?{seconds}")

    def longest_s(self):
        self._thread.join()
        assert self.response is not None and self.response.status == 200, self.response
        return float(self.response.body)


@on_each_engine
class Contained(ServerCase):
    app = "overflow_app"
    usual = (*_SAID, *_TRACEBACK)

    def test_nested_sorts_end_in_500_and_neighbours_notice_nothing(self):
        neighbours = [Neighbour(self.server, 1) for _ in range(4)]
        with self.server.connect() as connection:
            for depth in (100, 300, 900):
                for _ in range(5):
                    status = connection.get(f"/nest?sorted:{depth}").status
                    self.assertIn(status, (200, 500) if depth == 100 else (500,))
                    self.assertEqual(connection.get("/").status, 200, "the connection is kept")
        for neighbour in neighbours:
            self.assertLess(neighbour.longest_s(), 0.5)

    def test_recursion_error_is_caught_as_any_error(self):
        for kind in ("sorted", "repr", "eq", "pickle", "re"):
            with self.subTest(kind=kind):
                response = self.request("GET", f"/caught?{kind}:900")
                self.assertEqual((response.status, response.body), (200, b'["RecursionError", "RecursionError", "RecursionError"]'))

    def test_nested_json_is_answered_either_way(self):
        for kind in ("json", "json-loads"):
            for depth in (100, 900, 100000):
                with self.subTest(kind=kind, depth=depth):
                    if kind == "json" and depth > 900:
                        continue  # the list itself is taken apart without recursion, but its dump is limited anyway
                    self.assertIn(self.request("GET", f"/nest?{kind}:{depth}").status, (200, 500))
        self.assert_alive()

    def test_after_a_wait_the_full_depth_is_there_again(self):
        response = self.request("GET", "/caught-and-waits?sorted:900")
        self.assertEqual((response.status, response.body), (200, b'["RecursionError", 0, "RecursionError", 0, "RecursionError", 0]'))

    def test_the_core_serves_the_next_request_with_the_full_depth(self):
        before = self.request("GET", "/limit").body
        for _ in range(3):
            self.assertEqual(self.request("GET", "/nest?sorted:900").status, 500)
            self.assertEqual(self.request("GET", "/limit").body, before)
            self.assertEqual(self.request("GET", "/nest?python:900").status, 200)

    def test_many_at_the_same_time(self):
        connections = [self.connect() for _ in range(30)]
        for round_ in range(3):
            for connection in connections:
                connection.send_request("GET", "/nest?sorted:900")
            for connection in connections:
                self.assertEqual(connection.read_response().status, 500)
        self.assert_alive()


class Recommendation(unittest.TestCase):
    def test_after_an_overflow_the_log_recommends_more(self):
        with Server("overflow_app", usual=(*_SAID, *_TRACEBACK)) as server:
            with server.connect() as connection:
                self.assertEqual(connection.get("/nest?sorted:900").status, 500)
            server.log.expect(r"stacks: deepest use 2[5-9]\d KiB of 256 KiB, 1 overflows; recommended --stack_size=512KiB")

    def test_the_application_can_ask(self):
        with Server("overflow_app", usual=(*_SAID, *_TRACEBACK)) as server:
            with server.connect() as connection:
                before = json.loads(connection.get("/report").body)
                self.assertEqual(before["size"], 256 * 1024)
                self.assertEqual(before["overflows"], 0)
                self.assertLess(0, before["used"])
                self.assertLessEqual(before["used"], before["deepest"])
                self.assertEqual(connection.get("/nest?sorted:900").status, 500)
                after = json.loads(connection.get("/report").body)
                self.assertEqual(after["overflows"], 1)
                self.assertGreater(after["deepest"], after["size"])
                self.assertEqual(after["recommended"], 512 * 1024)

    def test_what_is_recommended_at_the_end_fits_what_was_used(self):
        server = Server("overflow_app").start()
        with server.connect() as connection:
            self.assertEqual(connection.get("/nest?sorted:40").status, 200)
        server.terminate()
        line = server.log.expect(r"stacks: deepest use \d+ KiB of 256 KiB, 0 overflows")[-1]
        server.stop()
        used, recommended = (int(line.split(word)[1].split("K")[0]) for word in ("deepest use ", "--stack_size="))
        self.assertGreater(used, 64)
        self.assertGreaterEqual(recommended, used * 3 // 2)


@unittest.skipUnless(shutil.which("gcc") or shutil.which("cc"), "no C compiler")
class Abandoned(unittest.TestCase):
    """C code without end: its stack is lost, the others in flight finish, and the worker ends to be started anew."""

    def start(self, engine, *flags):
        server = Server("overflow_app", *flags, engine=engine, env={"OVERFLOW_LIBRARY": _library},
                        usual=(*_SAID, r"stack overflow: ", r"is lost", r"^Stack", r"^  File", r"^$"))
        self.addCleanup(lambda: server.start and server.process and server.process.poll() is None and server.kill())
        return server.start()

    def test_it_alone_gets_500_and_the_others_in_flight_finish(self):
        for engine in ENGINES:
            for kind in ("gil", "nogil"):
                with self.subTest(engine=engine, kind=kind):
                    server = self.start(engine)
                    neighbours = [Neighbour(server, 1.5) for _ in range(5)]
                    time.sleep(0.3)
                    with server.connect() as connection:
                        response = connection.get(f"/lost?{kind}")
                        self.assertEqual(response.status, 500)
                        self.assertEqual(connection.read_until_close(), b"")
                    for neighbour in neighbours:
                        self.assertLess(neighbour.longest_s(), 0.5)
                    self.assertEqual(server.wait(), EXIT_UNFIT)
                    server.log.expect(r"GET /lost.*the request is lost")
                    server.log.expect(r"in _recurse_in_c")
                    server.log.expect(r"1 overflows; recommended --stack_size=\d+KiB")

    def test_several_at_a_time_each_get_500(self):
        server = self.start("ucontext")
        connections = [server.connect() for _ in range(5)]
        neighbour = Neighbour(server, 1)
        time.sleep(0.2)
        for connection in connections:
            connection.send_request("GET", "/lost?gil")
        for connection in connections:
            self.assertEqual(connection.read_response().status, 500)
            connection.close()
        self.assertLess(neighbour.longest_s(), 0.5)
        self.assertEqual(server.wait(), EXIT_UNFIT)

    def test_within_a_body_the_connection_is_closed_early(self):
        server = self.start("ucontext")
        with server.connect() as connection:
            connection.send_request("GET", "/lost-in-body?gil")
            data = connection.read_until_close()
            self.assertIn(b"first", data)
            self.assertNotIn(b"0\r\n\r\n", data, "the end of the body is not claimed")
        self.assertEqual(server.wait(), EXIT_UNFIT)

    def test_a_green_thread_of_the_application(self):
        server = self.start("ucontext", "--python_threads=green", "--drain_timeout=1s")
        with server.connect() as connection:
            self.assertEqual(connection.get("/lost-thread").status, 200)
        self.assertEqual(server.wait(), EXIT_UNFIT)

    def test_a_function_started_by_go_ends_its_handle_with_an_error(self):
        server = self.start("ucontext")
        with server.connect() as connection:
            self.assertIn(b"the stack overflowed", connection.get("/lost-go").body)
        self.assertEqual(server.wait(), EXIT_UNFIT)

    def test_an_end_that_hangs_is_ended(self):
        server = self.start("ucontext", "--drain_timeout=0")
        with server.connect() as connection:
            self.assertEqual(connection.get("/hang-at-exit").status, 200)
        with server.connect() as connection:
            connection.send_request("GET", "/lost?gil")
            server.log.expect("drain after a stack overflow does not end", deadline_s=20)
        self.assertEqual(server.wait(), EXIT_UNFIT)


if __name__ == "__main__":
    unittest.main()
