"""Engine `gevent`: a core is a greenlet of gevent's hub, which lives on one green thread."""

import json
import time
import unittest

from components import SlowPage
from fixture import Server
from hub_case import HubCase, HubDeadlineTests, HubDisconnectTests, HubTests
from slow_names import SlowNames

QUIET = ("timed out after", "the request was cancelled", "RequestTimeout", "Cancelled", "Traceback", "  File", "    ")


class Gevent(HubTests, HubCase):
    engine = "gevent"

    def test_gevents_sleep_lets_the_others_run(self):
        answers, took_s = self.all_at_once("/gevent_sleep?0.5", 100)
        self.assertEqual({answer.body for answer in answers}, {b"slept"})
        self.assertGreaterEqual(took_s, 0.5)
        self.assertLess(took_s, 12)

    def test_a_greenlet_goes_on_after_the_response(self):
        self.events()
        begin_s = time.monotonic()
        self.assertEqual(self.request("GET", "/background?0.3").body, b"begun")
        self.assertEqual(self.await_events(1), ["in the background, in a request: False"])
        self.assertGreaterEqual(time.monotonic() - begin_s, 0.3)

    def test_pools_and_locks(self):
        self.assertEqual(json.loads(self.request("GET", "/pool").body), [n * n for n in range(10)])

    def test_gevents_timeout_ends_a_read_of_the_body(self):
        connection = self.connect()
        connection.send(b"POST /timeout HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        self.assertEqual(connection.read_response().body, b"timed out")
        connection.close()

    def test_another_greenlet_may_read_the_body(self):
        self.assertEqual(self.request("POST", "/lent_input", body=b"lent").body, b"lent")

    def test_a_read_that_another_greenlet_is_in_ends_with_the_request(self):
        self.events()
        connection = self.connect()
        connection.send(b"POST /abandoned_input HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        self.assertEqual(connection.read_response().body, b"left")
        connection.close()
        self.assertEqual(self.events(), ["ConnectionResetError"])

    def test_a_child_process(self):
        self.assertEqual(self.request("GET", "/subprocess").body, b"from a child\n")


class GeventDeadlines(HubDeadlineTests, HubCase):
    engine = "gevent"
    flags = ("--async_cores=8", "--request_timeout=0.5s", "--request_timeout_grace=30s")
    usual = QUIET

    def test_gevents_sleep_is_interrupted(self):
        self.assert_cut_short("/gevent_sleep?20", "RequestTimeout in /gevent_sleep")


class GeventDisconnects(HubDisconnectTests, HubCase):
    engine = "gevent"
    flags = ("--async_cores=8", "--cancel_on_disconnect=on")
    usual = QUIET


class GeventThousand(HubCase):
    engine = "gevent"
    flags = ("--async_cores=1000",)

    def test_a_thousand_sleepers(self):
        answers, took_s = self.all_at_once("/gevent_sleep?1", 1000)
        self.assertEqual({answer.body for answer in answers}, {b"slept"})
        self.assertGreaterEqual(took_s, 1)
        self.assertLess(took_s, 60)


class GeventPatched(HubCase):
    """After gevent.monkey.patch_all()."""

    engine = "gevent"
    flags = ("--async_cores=200", "--gevent_monkey_patch")

    def test_the_standard_library_is_gevents(self):
        told = json.loads(self.request("GET", "/patched").body)
        self.assertRegex(told["socket"], "^gevent")
        self.assertRegex(told["sleep"], "^gevent")

    def test_time_sleep_lets_the_others_run(self):
        answers, took_s = self.all_at_once("/patched_sleep?0.5", 100)
        self.assertEqual({answer.body for answer in answers}, {b"slept"})
        self.assertGreaterEqual(took_s, 0.5)
        self.assertLess(took_s, 12)

    def test_threads_queues_and_locks(self):
        self.assertEqual(json.loads(self.request("GET", "/threads").body), [0, 1, 2, 3, 4])

    def test_locals_and_identities_are_the_greenlets(self):
        connections = [self.connect() for _ in range(5)]
        for number, connection in enumerate(connections):
            connection.send_request("GET", f"/locals?{number}")
        for connection in connections:
            self.assertEqual(json.loads(connection.read_response().body), {"kept": True, "ident": True})

    def test_urllib_asks_a_local_server(self):
        with SlowPage() as page:
            answers, took_s = self.all_at_once(f"/fetch?{page.url}/0.5", 20)
        self.assertEqual({answer.body for answer in answers}, {b"waited 0.5"})
        self.assertGreaterEqual(took_s, 0.5)
        self.assertLess(took_s, 0.5 * 20)


class GeventNames(SlowNames, HubCase):
    engine = "gevent"

    def test_names_are_resolved_in_parallel(self):
        told = json.loads(self.request("GET", "/resolve").body)
        self.assertEqual(told["found"], ["127.0.0.1"] * 8)
        self.assertGreaterEqual(told["took_s"], self.name_delay_s)
        self.assertLess(told["took_s"], 8 * self.name_delay_s)


class GeventDrain(unittest.TestCase):
    def test_a_drain_waits_for_what_goes_on_in_the_background(self):
        with Server("hub_app", engine="gevent") as server:
            with server.connect() as connection:
                connection.get("/background?0.5")
            begin_s = time.monotonic()
            server.stop()
            self.assertGreaterEqual(time.monotonic() - begin_s, 0.3)

    def test_what_does_not_end_is_given_a_greenlet_exit(self):
        with Server("hub_app", "--drain_timeout=0.5s", engine="gevent",
                    usual=("the drain timed out", "GreenletExit in the background")) as server:
            with server.connect() as connection:
                connection.get("/background?60")
            server.stop()
            self.assertIn("GreenletExit in the background", server.log.text())
