"""Go from Python: functions on green threads of their own, during a request, after it, and at the server's end."""

import json
import os
import tempfile
import time
import unittest

from case import ServerCase, on_each_engine
from fixture import ROOT, Server, eventually
from overlap import OverlapCase

MANY = 10_000


def read(path):
    with open(path) as file:
        return file.read()


@on_each_engine
class Go(OverlapCase):
    app = "go_app"

    def test_what_a_request_starts_runs_beside_it_and_beside_others(self):
        for got in self.assert_overlap_json(["/fan?0.5"] * 10, wait_s=0.5):
            self.assertEqual(got, list(range(20)))

    def test_a_pipeline_delivers_everything(self):
        self.assertEqual(self.json("/pipeline?200"), sum(i * i for i in range(200)))

    def test_the_first_answer_wins_and_the_other_is_cancelled(self):
        self.assertEqual(self.json("/select"), [True, 0.1, True, True, True])

    def test_what_computes_is_cancelled_too(self):
        self.assertEqual(self.json("/spin"), [True, True, True, True])

    def test_the_child_of_a_fork_runs_nobody_else(self):
        self.assertEqual(self.json("/fork"), [0, ["ran"]])

    def test_what_the_import_has_started_runs(self):
        self.assertEqual(self.request("GET", "/imported").body, b"<lambda>")

    def test_os_threads_take_part(self):
        self.assertEqual(self.json("/thread"), [True, 6])

    def test_an_exception_that_nobody_asks_for_is_logged(self):
        self.assertEqual(self.request("GET", "/fail").status, 200)
        self.expect_log(r"^Exception ignored in: <greenring.Handle fail\.<locals>\.fails #\d+ failed>$")
        block = self.expect_log(r"^KeyError: 'nobody asks'$")
        self.assertTrue(any("in fails" in line for line in block), block)

    def test_work_goes_on_after_the_response(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "told")
            self.assertEqual(self.request("GET", f"/after?{path}").body, b"accepted")
            self.assertFalse(os.path.exists(path), "the answer waited for it")
            eventually(lambda: os.path.exists(path) and read(path) == "worked", "the work to be done")


class Many(ServerCase):
    app = "go_app"

    def test_ten_thousand_at_once_cost_little_and_hurt_nobody(self):
        before = self.server.rss_bytes()
        with self.server.connect() as connection:
            self.assertEqual(connection.get(f"/park?{MANY}").body, b"parked")
        each = (self.server.rss_bytes() - before) / MANY
        took_s = []
        with self.server.connect() as connection:
            for _ in range(200):
                begin_s = time.monotonic()
                self.assertEqual(connection.get("/").status, 200)
                took_s.append(time.monotonic() - begin_s)
            self.assertEqual(connection.get("/release").body, str(MANY).encode())
        print(f"    {each:,.0f} bytes each; GET / beside them {1e6 * sorted(took_s)[100]:,.0f} us")
        self.assertLess(each, 64 * 1024)
        self.assertLess(sorted(took_s)[100], 0.05)
        # The next ones run on what those have left.
        with self.server.connect() as connection:
            self.assertEqual(connection.get(f"/park?{MANY}").body, b"parked")
            again = (self.server.rss_bytes() - before) / MANY
            self.assertEqual(connection.get("/release").body, str(MANY).encode())
        self.assertLess(again, each * 1.2)


@on_each_engine
class Drain(unittest.TestCase):
    engine = "ucontext"

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "told")

    def serve(self, *flags):
        server = Server("go_app", *flags, engine=self.engine).start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def start(self, server, target):
        with server.connect() as connection:
            self.assertEqual(connection.get(target).body, b"accepted")

    def test_is_awaited(self):
        server = self.serve()
        self.start(server, f"/after?{self.path}")
        server.terminate()
        server.log.expect(r"waiting for 1 functions that greenring\.go\(\) has started$")
        server.stop()
        self.assertEqual(read(self.path), "worked")

    def cancelled_after_its_time(self, target):
        server = self.serve("--drain_timeout=1s")
        self.start(server, f"{target}?{self.path}")
        begin_s = time.monotonic()
        server.terminate()
        server.log.expect(r"waiting for 1 functions")
        server.log.expect(r"the drain timed out: 1 functions that greenring\.go\(\) has started were cut short$")
        self.assertGreaterEqual(time.monotonic() - begin_s, 1)
        server.stop()
        self.assertEqual(read(self.path), "draining")

    def test_what_takes_too_long_is_cancelled_and_cleans_up(self):
        self.cancelled_after_its_time("/forever-greenring")

    def test_what_takes_too_long_in_a_blocking_call_is_cancelled_and_cleans_up(self):
        self.cancelled_after_its_time("/forever")

    def test_what_swallows_that_is_left_behind(self):
        server = self.serve("--drain_timeout=1s")
        self.start(server, "/stubborn")
        server.terminate()
        server.log.expect(r"waiting for 1 functions")
        server.log.expect(r"the drain timed out: 1 functions")
        server.log.expect(r"1 functions that greenring\.go\(\) has started did not end after the drain")
        server.stop()


class Example(unittest.TestCase):
    def test_does_what_its_readme_says(self):
        server = Server("app", chdir=os.path.join(ROOT, "examples", "go")).start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        with server.connect() as connection:
            begin_s = time.monotonic()
            self.assertEqual(connection.get("/weather").body.count(b"fine"), 3)
            self.assertGreaterEqual(time.monotonic() - begin_s, 0.3)
            self.assertLess(time.monotonic() - begin_s, 0.6)
            self.assertIn(b"near mirror", connection.get("/fastest").body)
            self.assertIn(b"is 385", connection.get("/pipeline").body)
            self.assertIn(b"on its way", connection.get("/order").body)
        server.terminate()
        server.log.expect(r"waiting for 1 functions")
        server.stop()
        self.assertIn("mail for order 7 sent", server.stdout())


if __name__ == "__main__":
    unittest.main()
