"""Clients that go away: where it is wanted, greenring.Cancelled ends what they asked for; and decorators of frameworks."""

import json
import re
import time

from case import ServerCase, on_each_engine
from components import Postgres, SlowPage
from fixture import eventually
from neighbours import NeighbourCase

_page, _postgres = SlowPage(), Postgres()


def setUpModule():
    _page.start()
    _postgres.start()


def tearDownModule():
    _page.stop()
    _postgres.stop()


class DisconnectCase(NeighbourCase):
    app = "deadline_app"
    flags = ("--async_cores=64", "--access_log=-")

    @classmethod
    def environment(cls):
        return {"POSTGRES_DSN": _postgres.dsn}

    def expect_events(self, expected):
        found = []

        def all_there():
            found.extend(json.loads(self.request("GET", "/events").body))
            return len(found) >= len(expected)

        eventually(all_there, f"{expected}")
        self.assertEqual(sorted(found), sorted(expected))

    def leave(self, target, reset=False, half=False):
        """Asks for `target` and goes away once the view runs."""
        connection = self.connect()
        connection.send_request("GET", target)
        for _ in range(3):
            self.assertEqual(self.request("GET", "/").body, b"hello")  # which were sent later, and are answered
        if half:
            connection.finish_sending()
        else:
            connection.close(reset=reset)
        return connection

    def expect_cancelled(self, path):
        self.expect_log(rf"GET {re.escape(path)}: the client is gone; the request was cancelled after ")

    def expect_access(self, target, status):
        line = rf'"GET {re.escape(target)} HTTP/1.1" {status} '
        eventually(lambda: re.search(line, self.server.stdout()), line)


@on_each_engine
class Wanted(DisconnectCase):
    """By the flag."""

    flags = (*DisconnectCase.flags, "--cancel_on_disconnect=on")

    def test_close_and_reset_end_what_waits(self):
        for reset in (False, True):
            with self.neighbours():
                self.leave("/sleep?60", reset=reset)
                self.expect_cancelled("/sleep?60")
            self.expect_events(["/sleep: Cancelled"])
        self.expect_access("/sleep?60", 499)

    def test_spinning_loop_lock_and_socket(self):
        for target in ("/spin?60", "/lock", "/event", "/recv", f"/urllib?{_page.url}/60", f"/requests?{_page.url}/60"):
            with self.neighbours(count=3):
                self.leave(target)
                self.expect_cancelled(target)
            self.expect_events([target.partition("?")[0] + ": Cancelled"])

    def test_stream(self):
        connection = self.connect()
        connection.send_request("GET", "/stream?60")
        self.assertEqual(connection.read_head().status, 200)
        self.assertEqual(connection.read_chunk(), b"first")
        connection.close()
        self.expect_cancelled("/stream?60")
        self.expect_events(["/stream: Cancelled"])

    def test_client_that_shuts_its_sending_side_counts_as_gone(self):
        connection = self.leave("/sleep?60", half=True)
        connection.expect_close()
        self.expect_cancelled("/sleep?60")
        self.expect_events(["/sleep: Cancelled"])

    def test_upload_is_cancelled_within_its_body(self):
        connection = self.connect()
        connection.send_request("POST", "/upload", [("Content-Length", "1000"), ("Expect", "100-continue")])
        self.assertEqual(connection.read_head().status, 100)
        connection.close()
        self.expect_log("POST /upload: the client is gone; the request was cancelled after ")
        self.expect_events(["/upload: Cancelled"])

    def test_request_can_decline_it(self):
        self.leave("/not-cancellable?0.5")
        self.expect_events(["/not-cancellable: slept"])

    def test_client_that_stays_is_served(self):
        with self.neighbours():
            self.assertEqual(self.request("GET", "/sleep?0.5").body, b"slept")

    def test_clean_up_runs_and_can_do_io(self):
        target = f"/clean-up?{_page.url}/0.2"
        self.leave(target)
        self.expect_cancelled(target)
        self.expect_events(["clean-up: waited 0.2"])


@on_each_engine
class NotWanted(DisconnectCase):
    """By default: only who asks for it is cancelled."""

    def test_request_runs_to_its_end(self):
        self.leave("/close?0.3")
        self.expect_events(["close: done"])

    def test_decorated_view_is_cancelled(self):
        self.leave("/cancellable?60")
        self.expect_cancelled("/cancellable?60")
        self.expect_events(["/cancellable: Cancelled"])
        self.expect_access("/cancellable?60", 499)

    def test_who_asks_later_is_told_at_once(self):
        self.leave("/late-wish?0.5")
        self.expect_cancelled("/late-wish?0.5")
        self.expect_events(["/late-wish: Cancelled"])

    def test_exception_tells_the_reason(self):
        self.leave("/reason")
        self.expect_cancelled("/reason")
        self.expect_events(["disconnected"])

    def test_query_of_a_client_that_is_gone_ends_in_the_database(self):
        self.request("GET", "/connect?checked")
        with self.neighbours():
            connection = self.connect()
            connection.send_request("GET", "/cancellable-psycopg2?60")
            eventually(lambda: _postgres.query_count() == 1, "the query to run")
            connection.close()
            eventually(lambda: _postgres.query_count() == 0, "the query to end in the database")
        self.expect_cancelled("/cancellable-psycopg2?60")
        self.expect_events(["/cancellable-psycopg2: DatabaseError"])


class Queue(DisconnectCase):
    flags = (*DisconnectCase.flags, "--cancel_on_disconnect=on", "--async_cores=1")

    def test_request_whose_client_is_gone_before_its_turn_never_runs(self):
        busy, gone = self.connect(), self.connect()
        busy.send_request("GET", "/sleep?1")
        gone.send_request("GET", "/not-cancellable?0")
        gone.close()
        self.assertEqual(busy.read_response().body, b"slept")
        self.expect_events([])
        self.expect_access("/not-cancellable?0", 499)


class FlaskViews(ServerCase):
    app = "deadline_flask_app:app"

    def test_decorated_view_times_out_past_the_error_handlers(self):
        with self.server.connect() as connection:
            begin_s = time.monotonic()
            self.assertEqual(connection.get("/slow/60.0").status, 504)
            self.assertGreaterEqual(time.monotonic() - begin_s, 0.5)
            self.assertEqual(connection.get("/slow/0.1").body, b"slow")
        self.expect_log("GET /slow/60.0: timed out after 0.5.* s; answered 504")
        self.expect_log("greenring.RequestTimeout: it took more than 0.5 s")
        self.assertEqual(json.loads(self.request("GET", "/events").body), ["teardown: RequestTimeout"])

    def test_decorated_view_streams_under_its_timeout(self):
        with self.server.connect() as connection:
            connection.send_request("GET", "/stream/60.0")
            self.assertEqual(connection.read_head().status, 200)
            self.assertEqual(connection.read_chunk(), b"first")
            connection.expect_close()
        self.expect_log("GET /stream/60.0: timed out after 0.5.* s; its response had begun, the connection is closed")
        self.expect_log("greenring.RequestTimeout: it took more than 0.5 s")

    def test_decorated_view_is_cancelled(self):
        with self.server.connect() as connection:
            connection.send_request("GET", "/cancellable/60.0")
            self.assertEqual(self.request("GET", "/").status, 200)
        self.expect_log("GET /cancellable/60.0: the client is gone")
        self.assertEqual(json.loads(self.request("GET", "/events").body), ["teardown: Cancelled"])


class DjangoViews(ServerCase):
    app = "deadline_django_app"

    def test_decorated_view_times_out(self):
        with self.server.connect() as connection:
            self.assertEqual(connection.get("/slow/60").status, 504)
            self.assertEqual(connection.get("/slow/0").body, b"slow")
        self.expect_log("GET /slow/60: timed out after 0.5.* s; answered 504")
        self.expect_log("greenring.RequestTimeout: it took more than 0.5 s")
        self.assertEqual(json.loads(self.request("GET", "/events").body), ["RequestTimeout"])

    def test_decorated_view_is_cancelled(self):
        with self.server.connect() as connection:
            connection.send_request("GET", "/cancellable/60")
            self.assertEqual(self.request("GET", "/").status, 200)
        self.expect_log("GET /cancellable/60: the client is gone")
        self.assertEqual(json.loads(self.request("GET", "/events").body), ["Cancelled"])
