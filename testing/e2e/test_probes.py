"""Liveness and readiness, which the loop answers while every core is busy; and servers that have had enough."""

import re
import unittest

from fixture import ENGINES, Server, eventually

PROBES = ("--liveness_path=/livez", "--readiness_path=/readyz")


def probe(server, path):
    with server.connect() as connection:
        return connection.get(path)


class Probes(unittest.TestCase):
    def hold_core(self, server):
        """A connection whose request waits on a core for one byte."""
        connection = server.connect()
        self.addCleanup(connection.close)
        connection.send_request("POST", "/gate", [("Content-Length", "1"), ("Expect", "100-continue")])
        self.assertEqual(connection.read_head().status, 100)
        return connection

    def test_they_need_no_core_and_tell_of_a_full_queue(self):
        for engine in ENGINES:
            with self.subTest(engine=engine), Server("input_app", *PROBES, "--async_cores=1", "--queue_depth_max=1",
                                                     engine=engine) as server:
                self.assertEqual(probe(server, "/readyz").body, b"200 OK: requests are served\n")
                busy = self.hold_core(server)
                self.assertEqual(probe(server, "/livez").body, b"200 OK: the loop turns\n")
                with server.connect() as queued:
                    queued.send_request("POST", "/gate", [("Content-Length", "1")], b"!")
                    eventually(lambda: probe(server, "/readyz").status == 503, "the queue to be full")
                    self.assertIn(b"the queue is full", probe(server, "/readyz").body)
                    self.assertEqual(probe(server, "/livez").status, 200)
                    busy.send(b"!")
                    self.assertEqual(busy.read_response().status, 200)
                    self.assertEqual(queued.read_response().status, 200)
                self.assertEqual(probe(server, "/readyz").status, 200)

    def test_a_draining_server_lives_and_is_not_ready(self):
        server = Server("input_app", *PROBES).start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        busy = self.hold_core(server)
        with server.connect() as ready, server.connect() as alive:
            self.assertEqual(ready.get("/readyz").status, 200)
            self.assertEqual(alive.get("/livez").status, 200)
            server.terminate()
            server.log.expect(r"signal 15: draining")
            self.assertEqual(alive.get("/livez").status, 200)
            response = ready.get("/readyz")
            self.assertEqual((response.status, response.body), (503, b"503 Service Unavailable: the worker drains\n"))
        busy.send(b"!")
        self.assertEqual(busy.read_response().status, 200)
        server.stop()

    def test_they_are_in_no_access_log(self):
        with Server("input_app", *PROBES, "--access_log=-") as server, server.connect() as connection:
            connection.get("/livez")
            connection.request("HEAD", "/readyz")
            connection.get("/")
        self.assertEqual(len(server.stdout().splitlines()), 1, server.stdout())

    def test_without_flags_they_are_the_applications(self):
        with Server("response_app") as server:
            self.assertNotIn(b"the loop turns", probe(server, "/livez").body)


class Recycling(unittest.TestCase):
    """Alone, a server that has had enough drains and exits with 3."""

    def serve(self, *flags):
        server = Server("response_app", *flags).start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def test_after_so_many_requests(self):
        server = self.serve("--max_requests=5")
        with server.connect() as connection:
            for _ in range(5):
                self.assertEqual(connection.get("/hello").status, 200)
        self.assertEqual(server.wait(), 3)
        server.log.expect(r"it has served 5 requests: draining")

    def test_jitter_is_at_most_what_it_says(self):
        server = self.serve("--max_requests=5", "--max_requests_jitter=3")
        for _ in range(5 + 3):
            try:
                probe(server, "/hello")
            except OSError:  # it does not listen any more
                break
        told = server.log.expect(r"it has served \d+ requests: draining")[-1]
        self.assertIn(int(re.search(r"served (\d+)", told).group(1)), range(5, 9))
        self.assertEqual(server.wait(), 3)

    def test_when_its_memory_is_too_large(self):
        server = self.serve("--max_worker_rss=16MiB")
        self.assertEqual(server.wait(), 3)
        server.log.expect(r"its resident memory is \d+ MiB, more than 16 MiB: draining")

    def test_after_so_long(self):
        server = self.serve("--max_worker_lifetime=1s")
        self.assertEqual(probe(server, "/hello").status, 200)
        self.assertEqual(server.wait(), 3)
        server.log.expect(r"it has lived for \S+: draining")
