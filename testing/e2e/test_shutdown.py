"""SIGTERM and SIGINT: what is in flight is finished, nothing is lost, the second signal is final."""

import itertools
import os
import signal
import tempfile
import threading
import time
import unittest

from case import on_each_engine
from fixture import Server, eventually
from wire import Connection, WireError


class DrainCase(unittest.TestCase):
    engine = "ucontext"

    def serve(self, *flags, app="input_app"):
        server = Server(app, *flags, engine=self.engine).start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def hold_core(self, server):
        connection = server.connect()
        self.addCleanup(connection.close)
        connection.send_request("POST", "/gate", [("Content-Length", "1"), ("Expect", "100-continue")])
        self.assertEqual(connection.read_head().status, 100)
        return connection

    def refuses_connections(self, server):
        try:
            server.connect().close()
            return False
        except OSError:
            return True


@on_each_engine
class Drain(DrainCase):
    def test_both_signals_end_an_idle_server_with_code_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.serve()
            server.terminate(number)
            server.stop()

    def test_what_is_in_flight_is_finished(self):
        server = self.serve()
        waiting = [self.hold_core(server) for _ in range(10)]
        server.terminate()
        eventually(lambda: self.refuses_connections(server), "the listener to be closed")
        for connection in waiting:
            connection.send(b"!")
            response = connection.read_response()
            self.assertEqual(response.body, b"gate opened by !")
            self.assertEqual(response.get("Connection", "").lower(), "close")
            connection.expect_close()
        server.stop()

    def test_idle_connections_are_closed(self):
        server = self.serve()
        unused, used = server.connect(), server.connect()
        self.assertEqual(used.get("/").status, 200)
        holder = self.hold_core(server)
        server.terminate()
        used.expect_close()
        # The kernel may keep a connection that has sent nothing to itself: its client learns of the end by sending.
        try:
            unused.send_request("GET", "/")
        except OSError:
            pass
        else:
            unused.expect_close()
        holder.send(b"!")
        self.assertEqual(holder.read_response().status, 200)
        server.stop()

    def test_queued_requests_are_finished_too(self):
        server = self.serve("--async_cores=1")
        holder = self.hold_core(server)
        queued = [server.connect() for _ in range(10)]
        for connection in queued:
            connection.send_request("POST", "/calls?read", (), b"queued")
        server.terminate()
        eventually(lambda: self.refuses_connections(server), "the listener to be closed")
        holder.send(b"!")
        self.assertEqual(holder.read_response().status, 200)
        for connection in queued:
            self.assertEqual(connection.read_response().body, b'["queued"]')
            connection.close()
        server.stop()

    def test_connections_that_wait_to_be_accepted_are_served(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        fifo = os.path.join(folder.name, "fifo")
        os.mkfifo(fifo)
        server = self.serve(app="response_app")
        blocker = server.connect()
        blocker.send_request("GET", f"/stream?{fifo}")
        blocker.read_head()
        self.assertEqual(blocker.read_chunk(), b"first")  # now its handler blocks the whole process
        waiting = [server.connect() for _ in range(20)]
        for connection in waiting:
            connection.send_request("GET", "/hello")
        server.terminate()
        os.close(os.open(fifo, os.O_WRONLY))
        for connection in waiting:
            self.assertEqual(connection.read_response().body, b"hello")
            connection.close()
        self.assertEqual(blocker.read_chunk(), b"second")
        blocker.close()
        server.stop()

    def test_a_response_that_is_being_sent_is_finished(self):
        server = self.serve(app="response_app")
        connection = server.connect(receive_buffer_bytes=4096)
        connection.send_request("GET", "/large?32")
        head = connection.read_head()
        server.terminate()
        eventually(lambda: self.refuses_connections(server), "the listener to be closed")
        self.assertEqual(len(connection.read_body(head).body), 32 << 20)
        server.stop()

    def test_drain_timeout_ends_what_does_not_end(self):
        server = self.serve("--drain_timeout=1s")
        holder = self.hold_core(server)
        begin = time.monotonic()
        server.terminate()
        holder.read_until_close()
        server.wait()
        self.assertGreater(time.monotonic() - begin, 0.9)
        self.assertLess(time.monotonic() - begin, 5)

    def test_a_second_signal_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.serve()
            self.hold_core(server)
            server.terminate(number)
            eventually(lambda: self.refuses_connections(server), "the listener to be closed")
            server.terminate(number)
            self.assertIn(server.wait(5), (1, 128 + number, -number))

    def test_under_load_no_response_is_lost(self):
        for keep_alive in (True, False):
            with self.subTest(keep_alive=keep_alive):
                server = self.serve("--async_cores=16")
                clients = [Client(server.address, keep_alive) for _ in range(8)]
                for client in clients:
                    client.start()
                for client in clients:
                    client.has_been_served.wait()
                killed_ns = time.monotonic_ns()
                server.terminate()
                for client in clients:
                    client.join()
                server.stop()
                for client in clients:
                    self.assertIsNone(client.broken)
                    if client.unanswered_ns is not None:
                        self.assertGreater(client.unanswered_ns, killed_ns, "sent before the signal, never answered")


class Client(threading.Thread):
    """Sends one request after the other until the server is gone.

    Two things may end it: the connection is refused, or it is closed before the first byte of a response to a request
    that was sent after the signal (`unanswered_ns` is when). A response that breaks off is `broken`.
    """

    def __init__(self, address, keep_alive):
        super().__init__(daemon=True)
        self.address, self.keep_alive = address, keep_alive
        self.has_been_served = threading.Event()
        self.broken, self.unanswered_ns = None, None

    def run(self):
        connection = None
        for number in itertools.count():
            try:
                connection = connection or Connection(self.address)
            except OSError:
                return
            sent_ns = None
            try:
                connection.send_request("POST", "/calls?read", (), b"%d" % number)
                sent_ns = time.monotonic_ns()
                status_line = connection.read_line("status line")
            except (OSError, WireError):
                self.unanswered_ns = sent_ns
                return
            try:
                length, closes = 0, False
                while line := connection.read_line("header"):
                    length = int(line.split(b":")[1]) if line.lower().startswith(b"content-length:") else length
                    closes = closes or line.lower() == b"connection: close"
                body = connection.read_exactly(length)
                if not status_line.startswith(b"HTTP/1.1 200 ") or body != b'["%d"]' % number:
                    self.broken = (status_line, body)
            except (OSError, WireError) as error:
                self.broken = error
            if self.broken:
                return
            if number == 50:
                self.has_been_served.set()
            if closes or not self.keep_alive:
                connection.close()
                connection = None
