"""Python on green threads: isolation between requests, threads, processes, and how deep a stack goes."""

import json
import unittest

from case import ServerCase, on_each_engine
from fixture import ENGINES, Server, eventually


@on_each_engine
class Python(ServerCase):
    app = "python_app"
    usual = ("^atexit has run$",)

    def wait_in(self, target):
        """A connection whose handler is known to wait for its body."""
        connection = self.connect()
        connection.send_request("POST", target, [("Content-Length", "1"), ("Expect", "100-continue")])
        self.assertEqual(connection.read_head().status, 100)
        return connection

    def release(self, connection):
        connection.send(b"!")
        response = connection.read_response()
        self.assertEqual(response.status, 200)
        connection.close()
        return response.body

    def test_what_is_per_thread_is_per_request(self):
        names = [f"request-{number}" for number in range(20)]
        waiting = [self.wait_in(f"/isolation?{name}") for name in names]
        found = [json.loads(self.release(connection)) for connection in reversed(waiting)][::-1]
        self.assertEqual(found, [[True, name, name, name, True] for name in names])

    def test_a_lock_held_across_a_wait_keeps_its_owner(self):
        waiting = [self.wait_in("/lock") for _ in range(5)]
        for connection in waiting:
            self.assertEqual(self.release(connection), b"twice")

    def test_threads_of_the_application_run(self):
        self.assertEqual(json.loads(self.request("GET", "/thread").body), [sum(range(100_000))] * 4)

    def test_a_background_thread_runs_while_the_server_is_idle_or_waits(self):
        def ticks():
            return json.loads(self.request("GET", "/ticks").body)
        begin = ticks()
        eventually(lambda: ticks() > begin, "the background thread to run beside requests")
        waiting = self.wait_in("/lock")
        begin = ticks()
        eventually(lambda: ticks() > begin, "the background thread to run beside a handler that waits")
        self.release(waiting)

    def test_a_child_process_is_run(self):
        for _ in range(5):
            self.assertEqual(self.request("GET", "/subprocess").body, b"THROUGH A PIPE")

    def test_python_recursion_ends_in_recursion_error(self):
        self.assertEqual(self.request("GET", "/recursion?900").body, b"900")
        self.assertEqual(self.request("GET", "/endless-recursion").body, b"RecursionError")

    def test_recursion_through_c_is_as_deep_as_the_stack_allows(self):
        self.assertEqual(self.request("GET", "/deep-c-recursion?30").body, b"30")


class Stack(unittest.TestCase):
    def test_a_larger_stack_allows_deeper_recursion_through_c(self):
        for engine in ENGINES:
            with self.subTest(engine=engine):
                with Server("python_app", "--stack_size=4MiB", engine=engine, usual=["atexit"]) as server:
                    with server.connect() as connection:
                        self.assertEqual(connection.get("/deep-c-recursion?200").body, b"200")

    def test_atexit_handlers_run_after_the_drain(self):
        with Server("python_app", usual=["atexit"]) as server:
            with server.connect() as connection:
                connection.get("/")
        self.assertIn("atexit has run", server.log.lines)
