"""Cores: how many requests are handled at a time, who holds one, and what happens when all are busy.

Handlers wait in wsgi.input. `Expect: 100-continue` tells when they do: the server sends 100 when the application reads.
"""

import select

from case import ServerCase, on_each_engine
from wire import DEADLINE_S, request_bytes


class CoresCase(ServerCase):
    app = "input_app"

    def hold_core(self):
        """A connection whose handler is known to wait for its body."""
        connection = self.connect()
        connection.send_request("POST", "/gate", [("Content-Length", "1"), ("Expect", "100-continue")])
        self.assertEqual(connection.read_head().status, 100)
        return connection

    def release(self, connection):
        connection.send(b"!")
        self.assertEqual(connection.read_response().body, b"gate opened by !")
        connection.close()


@on_each_engine
class ManyCores(CoresCase):
    flags = ("--async_cores=64",)

    def test_while_handlers_wait_others_are_served(self):
        waiting = [self.hold_core() for _ in range(63)]
        for _ in range(100):
            self.assertEqual(self.request("GET", "/").body, b"ignored")
        for connection in waiting:
            self.release(connection)

    def test_handlers_end_in_the_order_of_their_events(self):
        waiting = [self.hold_core() for _ in range(64)]
        for connection in reversed(waiting):
            self.release(connection)

    def test_a_core_is_free_again_when_its_client_leaves(self):
        for reset in (False, True):
            for connection in [self.hold_core() for _ in range(64)]:
                connection.close(reset=reset)
            self.assert_alive()
        for connection in [self.hold_core() for _ in range(64)]:
            self.release(connection)

    def expect_log(self, pattern):
        raise AssertionError("a client that leaves is no error of the application")


@on_each_engine
class OneCore(CoresCase):
    flags = ("--async_cores=1", "--queue_depth_max=1")
    usual = ("refused a request with 503: all cores are busy",)

    def test_idle_connections_hold_no_core(self):
        idle = [self.connect() for _ in range(50)]
        used = [self.connect() for _ in range(50)]
        for connection in used:
            self.assertEqual(connection.get("/").status, 200)
        self.assert_alive()
        for connection in idle:
            self.assertEqual(connection.get("/").status, 200)
            connection.close()

    def test_half_read_connections_hold_no_core(self):
        half = [self.connect() for _ in range(50)]
        for connection in half:
            connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: ")
        self.assert_alive()
        for connection in half:
            connection.send(b"whole\r\n\r\n")
            self.assertEqual(connection.read_response().body, b"ignored")
            connection.close()

    def test_when_core_and_queue_are_full_the_next_gets_503(self):
        holder = self.hold_core()
        others = [self.connect(), self.connect()]
        for connection in others:
            connection.send_request("GET", "/")
        ready, _, _ = select.select([connection.socket for connection in others], [], [], DEADLINE_S)
        self.assertEqual(len(ready), 1, "exactly one of the two must be refused while the core is held")
        refused, queued = others if others[0].socket in ready else reversed(others)
        response = refused.read_response()
        self.assertEqual(response.status, 503)
        self.assertRegex(response.get("Retry-After"), r"^[0-9]+$")
        self.release(holder)
        self.assertEqual(queued.read_response().body, b"ignored")
        self.assert_alive()

    def test_queued_requests_are_served_in_order_of_arrival(self):
        holder = self.hold_core()
        queued = self.connect()
        queued.send_request("POST", "/calls?read", (), b"queued")
        self.release(holder)
        self.assertEqual(queued.read_response().body, b'["queued"]')

    def test_a_client_that_leaves_the_queue_frees_its_place(self):
        holder = self.hold_core()
        leaving = self.connect()
        leaving.send_request("GET", "/")
        leaving.close(reset=True)
        self.release(holder)
        self.assert_alive()

    def test_pipelined_requests_take_one_place_at_a_time(self):
        with self.server.connect() as connection:
            connection.send(request_bytes() * 50)
            for _ in range(50):
                self.assertEqual(connection.read_response().body, b"ignored")
