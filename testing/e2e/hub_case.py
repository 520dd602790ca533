"""What the tests of engines `greenlet` and `gevent` have in common: both hubs serve hub_app."""

import json
import time

from case import ServerCase
from fixture import eventually

SLEEP_S = 0.5
CORES = 200


class HubCase(ServerCase):
    app = "hub_app"
    flags = (f"--async_cores={CORES}",)

    def events(self):
        """What handlers have noted since the last call."""
        return json.loads(self.request("GET", "/events").body)

    def await_events(self, count):
        """That many from now on, as they come."""
        seen = []
        eventually(lambda: seen.extend(self.events()) or len(seen) >= count, f"{count} events")
        return seen

    def all_at_once(self, target, count):
        """That many requests on connections of their own; their answers, and how long all took."""
        connections = [self.connect() for _ in range(count)]
        begin_s = time.monotonic()
        for connection in connections:
            connection.send_request("GET", target)
        answers = [connection.read_response() for connection in connections]
        took_s = time.monotonic() - begin_s
        for connection in connections:
            connection.close()
        return answers, took_s


class HubTests:
    """Mixed into a HubCase for each engine."""

    def test_a_request_runs_on_a_greenlet_of_its_own(self):
        told = [json.loads(self.request("GET", "/identity").body) for _ in range(2)]
        for one in told:
            self.assertEqual(one["type"], "RequestGreenlet")
            self.assertRegex(one["name"], r"^request \d+ GET /identity$")
            self.assertTrue(one["in_request"])
        self.assertNotEqual(told[0]["name"], told[1]["name"])

    def test_one_connection_serves_many_requests(self):
        connection = self.connect()
        for _ in range(200):
            self.assertEqual(connection.get("/").body, b"hello")

    def test_a_hundred_sleep_at_the_same_time(self):
        answers, took_s = self.all_at_once(f"/sleep?{SLEEP_S}", 100)
        self.assertEqual({answer.body for answer in answers}, {b"slept"})
        self.assertGreaterEqual(took_s, SLEEP_S)
        self.assertLess(took_s, SLEEP_S * 25)

    def test_a_yield_lets_the_others_run(self):
        self.events()
        connections = [self.connect() for _ in range(2)]
        for number, connection in enumerate(connections):
            connection.send_request("GET", f"/yield?{number}")
        for connection in connections:
            self.assertEqual(connection.read_response().body, b"yielded")
        self.assertEqual(sorted(self.events()), ["0"] * 5 + ["1"] * 5)

    def test_a_call_that_blocks_keeps_the_hub_waiting_and_not_the_loop(self):
        blocked = self.connect()
        blocked.send_request("GET", "/block?1")
        sleeper = self.connect()
        begin_s = time.monotonic()
        sleeper.send_request("GET", "/sleep?0.01")
        unread = self.connect()
        unread.send(b"GARBAGE\r\n\r\n")  # the loop parses and refuses meanwhile
        self.assertEqual(unread.read_response().status, 400)
        refused_s = time.monotonic() - begin_s
        self.assertEqual(blocked.read_response().body, b"blocked")
        self.assertEqual(sleeper.read_response().body, b"slept")
        self.assertLess(refused_s, time.monotonic() - begin_s)
        self.assertGreaterEqual(time.monotonic() - begin_s, 0.5)

    def test_bodies_stream_through(self):
        body = bytes(range(256)) * 4096
        self.assertEqual(self.request("POST", "/echo", body=body).body, body)

    def test_a_body_that_comes_slowly_keeps_nobody_waiting(self):
        slow = self.connect()
        slow.send(b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc")
        for _ in range(20):
            self.assertEqual(self.request("GET", "/").body, b"hello")
        slow.send(b"def")
        self.assertEqual(slow.read_response().body, b"abcdef")

    def test_write_sends_every_piece(self):
        self.assertEqual(self.request("GET", "/write").body, b"".join(b"%03d" % n for n in range(100)))

    def test_a_stream_pauses_between_its_pieces(self):
        answers, _ = self.all_at_once("/stream", 20)
        self.assertEqual({answer.body for answer in answers}, {b"onetwo"})

    def test_a_big_body_arrives_whole(self):
        self.assertEqual(self.request("GET", "/big?5000000").body, b"x" * 5_000_000)

    def test_an_exception_is_500_and_the_core_goes_on(self):
        for _ in range(3):
            self.assertEqual(self.request("GET", "/fail").status, 500)
            self.expect_log("ValueError: on purpose")
        self.assertEqual(self.request("GET", "/").body, b"hello")

    def test_a_client_that_leaves_within_its_body_harms_nobody(self):
        self.events()
        for _ in range(5):
            connection = self.connect()
            connection.send(b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
            connection.close()
        self.assertEqual(self.await_events(5), ["ConnectionResetError in /read"] * 5)

    def test_the_module_works(self):
        told = json.loads(self.request("GET", "/module").body)
        self.assertEqual(told, {"yield_": "None", "sleep": "None", "go": "7", "timeout": "entered", "in_request": "True",
                                "set_request_timeout": "None", "set_cancel_on_disconnect": "None"})

    def test_a_greenlet_that_the_request_begins_is_the_requests(self):
        self.assertEqual(self.request("GET", "/child").body, b"true")


class HubDeadlineTests:
    """Mixed into a HubCase with a request timeout of half a second."""

    def assert_cut_short(self, target, event):
        self.events()
        begin_s = time.monotonic()
        self.assertEqual(self.request("GET", target).status, 504)
        self.assertGreaterEqual(time.monotonic() - begin_s, 0.5)
        self.assertLess(time.monotonic() - begin_s, 10)
        self.assertEqual(self.events(), [event])

    def test_a_sleep_is_interrupted_and_no_other_request(self):
        other = self.connect()
        other.send_request("GET", "/sleep?0.2")
        self.assert_cut_short("/noted_sleep?20", "RequestTimeout in /noted_sleep")
        self.assertEqual(other.read_response().body, b"slept")

    def test_code_that_computes_is_interrupted(self):
        self.assert_cut_short("/compute?20", "RequestTimeout in /compute")

    def test_a_read_of_the_body_is_interrupted(self):
        self.events()
        connection = self.connect()
        connection.send(b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        self.assertEqual(connection.read_response().status, 504)
        connection.close()
        self.assertEqual(self.events(), ["RequestTimeout in /read"])

    def test_the_core_serves_the_next_request_unharmed(self):
        for _ in range(4):
            self.assertEqual(self.request("GET", "/noted_sleep?20").status, 504)
            self.assertEqual(self.request("GET", "/").body, b"hello")


class HubDisconnectTests:
    """Mixed into a HubCase with --cancel_on_disconnect."""

    def test_a_client_that_leaves_ends_its_own_request(self):
        self.events()
        stays = self.connect()
        stays.send_request("GET", "/noted_sleep?1")
        leaves = self.connect()
        leaves.send_request("GET", "/noted_sleep?30")
        time.sleep(0.2)
        leaves.close()
        self.assertEqual(self.await_events(1), ["Cancelled in /noted_sleep"])
        self.assertEqual(stays.read_response().body, b"slept")
