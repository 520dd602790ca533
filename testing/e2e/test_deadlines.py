"""Requests that take too long: each gets greenring.RequestTimeout and its client 504, and nobody else notices."""

import json
import signal
import time
import unittest

from case import on_each_engine
from components import Postgres, SlowPage
from fixture import Server, eventually
from neighbours import LATE_S_MAX, NeighbourCase
from wire import WireError

TIMEOUT_S = 1.0

_page, _postgres = SlowPage(), Postgres()


def setUpModule():
    _page.start()
    _postgres.start()


def tearDownModule():
    _page.stop()
    _postgres.stop()


class DeadlineCase(NeighbourCase):
    app = "deadline_app"
    flags = (f"--request_timeout={TIMEOUT_S}s", "--request_timeout=/compute=0", "--request_timeout=/connect=0",
             "--request_timeout_grace=60s", "--async_cores=64")

    @classmethod
    def environment(cls):
        return {"POSTGRES_DSN": _postgres.dsn}

    def events(self):
        return json.loads(self.request("GET", "/events").body)

    def assert_times_out(self, target, timeout_s=TIMEOUT_S, events=None, method="GET", **options):
        """504 in time, the neighbours unharmed, the stack in the error log. Returns the lines of the log."""
        self.events()
        with self.neighbours():
            begin_s = time.monotonic()
            response = self.request(method, target, **options)
            took_s = time.monotonic() - begin_s
        self.assertEqual((response.status, response.reason), (504, "Gateway Timeout"), response)
        self.assertGreaterEqual(took_s, timeout_s)
        self.assertLess(took_s, timeout_s + LATE_S_MAX)
        path = target.partition("?")[0]
        log = self.expect_log(rf"\] {method} {path}\S*: timed out after {timeout_s:g}\S* s; answered 504")
        log += self.expect_log(r"greenring.RequestTimeout: it took more than|File .* in ")
        self.expect_rest_of_the_traceback()
        if events is None:
            events = [f"{path}: RequestTimeout"]
        self.assertEqual(self.events(), events)
        return log

    def expect_rest_of_the_traceback(self):
        """What is logged from here on is looked at from here on: tracebacks are long."""
        self.request("GET", "/")
        with self.server.log._changed:
            self.server.log._expected = len(self.server.log.lines)


@on_each_engine
class Waits(DeadlineCase):
    def test_sleep(self):
        self.assert_times_out("/sleep?60")

    def test_spinning_loop(self):
        self.assert_times_out("/spin?60")

    def test_lock_and_event(self):
        self.assert_times_out("/lock")
        self.assert_times_out("/event")

    def test_socket(self):
        self.assert_times_out("/recv")

    def test_http_clients(self):
        self.assert_times_out(f"/urllib?{_page.url}/60")
        self.assert_times_out(f"/requests?{_page.url}/60")

    def test_query_in_a_database_by_a_driver_in_c(self):
        # libpq is told ECANCELED, and psycopg2 makes an error of its own of that: the client is told 504 all the same.
        self.request("GET", "/connect?checked")
        self.assert_times_out("/psycopg2?60", events=["/psycopg2: DatabaseError"])
        eventually(lambda: _postgres.query_count() == 0, "the query to end in the database")
        self.request("GET", "/connect")
        self.assert_times_out("/psycopg2-cancel?60", events=["/psycopg2-cancel: DatabaseError"])
        eventually(lambda: _postgres.query_count() == 0, "the query to end in the database")

    def test_upload_that_trickles(self):
        self.events()
        with self.neighbours(), self.server.connect() as connection:
            connection.send_request("POST", "/upload", [("Content-Length", "1000")])
            connection.send(b"abc")
            response = connection.read_response()
        self.assertEqual(response.status, 504)
        self.expect_log(r"POST /upload: timed out after 1\S* s; answered 504")
        self.expect_log("greenring.RequestTimeout")
        self.assertEqual(self.events(), ["/upload: RequestTimeout"])

    def test_requests_that_end_in_time_are_not_disturbed(self):
        with self.neighbours():
            self.assertEqual(self.request("GET", "/sleep?0.5").body, b"slept")
        self.assertEqual(self.events(), [])


class Responses(DeadlineCase):
    def test_connection_is_kept_after_a_504_and_the_next_request_has_its_own_time(self):
        with self.server.connect() as connection:
            for _ in range(2):
                self.assertEqual(connection.get("/sleep?60").status, 504)
                self.assertEqual(connection.get("/sleep?0.6").body, b"slept")
        for _ in range(2):
            self.expect_log("GET /sleep.60: timed out")
            self.expect_log("greenring.RequestTimeout")

    def test_head_gets_a_504_without_a_body(self):
        with self.server.connect() as connection:
            self.assertEqual(connection.request("HEAD", "/sleep?60").status, 504)
            self.assertEqual(connection.get("/").body, b"hello")
        self.expect_log("HEAD /sleep.60: timed out")
        self.expect_log("greenring.RequestTimeout")

    def test_stream_is_cut_off_where_its_generator_waits(self):
        self.events()
        with self.neighbours(), self.server.connect() as connection:
            connection.send_request("GET", "/stream?60")
            self.assertEqual(connection.read_head().status, 200)
            self.assertEqual(connection.read_chunk(), b"first")
            with self.assertRaises(WireError):
                connection.read_chunk()
        self.expect_log(r"GET /stream\?60: timed out after 1\S* s; its response had begun, the connection is closed")
        self.expect_log("greenring.RequestTimeout")
        self.assertEqual(self.events(), ["/stream: RequestTimeout"])

    def test_client_that_does_not_read_is_cut_off(self):
        for path, event in (("/flood", "/flood: closed"), ("/write", "/write: RequestTimeout")):
            with self.neighbours():
                connection = self.connect(receive_buffer_bytes=4096)
                connection.send_request("GET", path)
                self.expect_log(f"GET {path}: timed out after 1\\S* s; its response had begun, the connection is closed")
            connection.close()
            self.expect_rest_of_the_traceback()
            self.assertEqual(self.events(), [event])

    def test_whole_response_is_sent_although_close_takes_long(self):
        with self.server.connect() as connection:
            self.assertEqual(connection.get("/close?1.5").body, b"whole")
            self.assertEqual(connection.get("/").body, b"hello")
        self.assertEqual(self.events(), ["close: done"], "the deadline does not end clean-up, the grace does")

    def test_close_can_wait_after_the_deadline(self):
        self.assert_times_out("/close?0.5,late", events=["close: done"])

    def test_request_in_the_queue_is_answered_and_never_runs(self):
        with Server("deadline_app", "--request_timeout=1s", "--request_timeout=/set=0", "--async_cores=1",
                    usual=("refused a request with 504: the request waited for a core until its deadline",)) as server:
            busy, queued = server.connect(), server.connect()
            with busy, queued:
                busy.send_request("GET", "/set?None,3")
                queued.send_request("GET", "/sleep?0")
                self.assertEqual(queued.read_response().status, 504)
                queued.expect_close()
                self.assertEqual(busy.read_response().body, b"slept")


class Applications(DeadlineCase):
    def test_what_a_framework_makes_of_it_is_replaced_and_the_log_says_where_it_was(self):
        with self.neighbours():
            self.assertEqual(self.request("GET", "/as-500").status, 504)
        self.expect_log("GET /as-500: timed out after 1.* s; answered 504; the application made something else of "
                        "greenring.RequestTimeout, which was raised in$")
        self.expect_log("File .* in as_500$")

    def test_except_exception_does_not_swallow_it(self):
        self.assert_times_out("/except-exception", events=[])

    def test_clean_up_can_do_io(self):
        self.assert_times_out(f"/clean-up?{_page.url}/0.2", events=["clean-up: waited 0.2"])

    def test_exception_tells_the_time(self):
        self.assert_times_out("/attributes", events=["1 s, False"])

    def test_timeout_can_be_set_and_lifted_by_a_request(self):
        self.assert_times_out("/set?0.3,60", timeout_s=0.3)
        self.assertEqual(self.request("GET", "/set?None,1.5").body, b"slept")
        self.assertEqual(self.request("GET", "/set?5,1.5").body, b"slept")

    def test_decorated_view(self):
        self.assert_times_out("/decorated?60", timeout_s=0.3)
        self.assertEqual(self.request("GET", "/decorated?0").body, b"slept")

    def test_what_cannot_be_set_is_told(self):
        said = json.loads(self.request("GET", "/refused").body)
        self.assertEqual(said, [
            "ValueError: a timeout must be positive, or None for no timeout, not 0",
            "ValueError: a timeout must be positive, or None for no timeout, not -1",
            "TypeError: must be real number, not str",
            "RuntimeError: greenring.set_request_timeout() is for the thread that handles a request",
        ])


class Many(DeadlineCase):
    def test_many_time_out_together_and_one_who_does_not_is_served(self):
        with self.neighbours():
            connections = [self.connect() for _ in range(30)]
            for connection in connections:
                connection.send_request("GET", "/sleep?60")
            for connection in connections:
                self.assertEqual(connection.read_response().status, 504)
                connection.close()
        for _ in range(30):
            self.expect_log("GET /sleep.60: timed out")
        self.expect_rest_of_the_traceback()

    def test_nine_seconds_among_short_ones_has_no_victims(self):
        """One request far beyond its time among short ones, all the time: it ends, and they are all answered."""
        self.assert_times_out("/sleep?9", events=None)


class Escalation(unittest.TestCase):
    """One who swallows every exception: reported, its client told, its worker replaced, its neighbours served."""

    def serve(self, *flags):
        server = Server("deadline_app", "--request_timeout=/swallow=500ms", "--request_timeout_grace=500ms",
                        *flags).start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def test_swallower_is_reported_and_drains_the_worker_while_others_finish(self):
        server = self.serve("--drain_timeout=3s", "--access_log=-")
        with server.connect() as neighbour, server.connect() as swallower:
            begin_s = time.monotonic()
            neighbour.send_request("GET", "/sleep?2.5")
            swallower.send_request("GET", "/swallow")
            response = swallower.read_response()
            self.assertEqual(response.status, 504)
            self.assertGreaterEqual(time.monotonic() - begin_s, 1.0)
            swallower.expect_close()
            server.log.expect("a request does not end although it has timed out: draining")
            server.log.expect(r"GET /swallow: still running after 1\S* s, although greenring.RequestTimeout was raised in "
                              r"it; it is in")
            server.log.expect("File .* in swallow$")
            self.assertEqual(neighbour.read_response().body, b"slept")
        self.assertEqual(server.wait(), 3)
        server.log.expect("the drain timed out: 1 requests were cut short")
        server.log.expect(r"\] 1 requests did not end after the drain")
        self.assertRegex(server.stdout(), r'"GET /swallow HTTP/1.1" 504 ')

    def test_signal_during_such_a_drain_ends_the_process_and_later_ones_do_too(self):
        server = self.serve("--drain_timeout=60s")
        with server.connect() as swallower:
            swallower.send_request("GET", "/swallow")
            self.assertEqual(swallower.read_response().status, 504)
        server.log.expect("draining")
        server.terminate(signal.SIGTERM)
        server.log.expect("signal 15: draining")
        server.terminate(signal.SIGTERM)
        self.assertEqual(server.wait(), 128 + signal.SIGTERM)

    def test_drain_timeout_interrupts_requests_with_cancelled(self):
        server = self.serve("--drain_timeout=500ms")
        with server.connect() as connection:
            connection.send_request("GET", "/sleep?60")
            with server.connect() as probe:
                probe.get("/")
            server.terminate()
            connection.expect_close()
        server.log.expect("the drain timed out: 1 requests were cut short")
        server.log.expect(r"GET /sleep\?60: the worker is draining; the request was cancelled after ")
        self.assertEqual(server.wait(), 0)
