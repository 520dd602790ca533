"""The module `greenring` under engines `greenlet` and `gevent`: waiting lets the hub's other greenlets run."""

import json
import shutil
import time
import unittest

import test_overflow
from fixture import Server
from hub_case import HubCase

QUIET = ("timed out after", "the request was cancelled", "RequestTimeout", "Cancelled", "Traceback", "  File", "    ")
LOST = (r"stack overflow: ", r"\] stacks: ", r"is lost", r"^Stack", r"^ ", r"^$")


def setUpModule():
    test_overflow.setUpModule()


class ModuleCase(HubCase):
    app = "hub_module_app"

    def send(self, target):
        """A connection whose request is on its way."""
        connection = self.connect()
        connection.send_request("GET", target)
        return connection

    def balances(self):
        return json.loads(self.request("GET", "/balances").body)

    def await_balance(self, balance):
        """Until so many wait in send(), or, negative, in recv(). Others are served meanwhile."""
        end_s = time.monotonic() + 20
        while (told := self.balances()["channel"]) != balance:
            self.assertLess(time.monotonic(), end_s, told)


class ModuleTests:
    """Mixed into a ModuleCase for each engine."""

    def test_two_requests_exchange_a_value(self):
        receiver = self.send("/receive")
        self.await_balance(-1)
        self.assertEqual(self.request("GET", "/send?value").body, b"sent")
        self.assertEqual(receiver.read_response().body, b"value")
        sender = self.send("/send?another")
        self.await_balance(1)
        self.assertEqual(self.request("GET", "/receive").body, b"another")
        self.assertEqual(sender.read_response().body, b"sent")

    def test_a_hundred_requests_lose_nothing(self):
        consumers = [self.send("/consume") for _ in range(50)]
        producers = [self.send(f"/produce?{number}") for number in range(50)]
        self.assertEqual({one.read_response().body for one in producers}, {b"sent"})
        received = [value for one in consumers for value in json.loads(one.read_response().body)]
        self.assertEqual(sorted(received), sorted(f"{n}-{i}" for n in range(50) for i in range(20)))
        self.assertEqual(self.balances(), {"channel": 0, "length": 0, "buffered": 0})

    def test_a_wait_group_waits_for_other_requests(self):
        self.request("GET", "/add?2")
        waiting = self.send("/wait")
        self.assertEqual(self.request("GET", "/done").body, b"done")
        self.assertEqual(self.request("GET", "/").body, b"hello")
        self.assertEqual(self.request("GET", "/done").body, b"done")
        self.assertEqual(waiting.read_response().body, b"waited")

    def test_timeouts_of_the_calls(self):
        for target, answer in (("/receive_within?0.2", b"timed out"), ("/select_within?0.2", b"late")):
            begin_s = time.monotonic()
            waiting = self.send(target)
            self.assertEqual(self.request("GET", "/").body, b"hello")
            self.assertEqual(waiting.read_response().body, answer)
            self.assertGreaterEqual(time.monotonic() - begin_s, 0.2)
        self.assertEqual(self.balances()["channel"], 0)

    def test_a_result_of_a_green_thread_that_waits_for_another_request(self):
        waiting = self.send("/result")
        self.await_balance(-1)
        self.assertEqual(self.request("GET", "/send?for-the-green-thread").body, b"sent")
        self.assertEqual(waiting.read_response().body, b"for-the-green-thread")

    def test_a_hundred_wait_for_green_threads_at_the_same_time(self):
        answers, took_s = self.all_at_once("/slow_result", 100)
        self.assertEqual({answer.body for answer in answers}, {b"slept"})
        self.assertGreaterEqual(took_s, 0.5)
        self.assertLess(took_s, 0.5 * 25)

    def test_a_thread_of_the_system_may_answer(self):
        answers, _ = self.all_at_once("/from_os_thread", 10)
        self.assertEqual({answer.body for answer in answers}, {b"from a thread"})

    def test_timeouts_nest(self):
        begin_s = time.monotonic()
        answers, _ = self.all_at_once("/timeout", 20)
        self.assertEqual([json.loads(answer.body) for answer in answers], [["inner", "outer"]] * 20)
        self.assertGreaterEqual(time.monotonic() - begin_s, 0.4)
        self.assertEqual(self.balances()["channel"], 0)

    def test_a_timeout_ends_code_that_computes(self):
        self.assertEqual(self.request("GET", "/computing_timeout").body, b"timed out")
        self.assertEqual(self.request("GET", "/").body, b"hello")

    def test_a_timeout_ends_a_read_of_the_body(self):
        connection = self.connect()
        connection.send(b"POST /body_timeout HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc")
        self.assertEqual(connection.read_response().body, b"timed out")
        connection.close()


class GreenletModule(ModuleTests, ModuleCase):
    engine = "greenlet"


class GeventModule(ModuleTests, ModuleCase):
    engine = "gevent"

    def test_spawned_greenlets_wait_and_the_hub_itself_is_told_why_not(self):
        told = json.loads(self.request("GET", "/spawned").body)
        self.assertEqual(told["counted"], 4)
        self.assertIn("gevent.Timeout", told["timeout"])
        self.assertIn("cannot wait", told["hub"])

    def test_gevents_timeout_ends_a_wait(self):
        self.assertEqual(json.loads(self.request("GET", "/gevent_timeout").body), {"balance": 0})


class DeadlineTests:
    """Mixed into a ModuleCase with a request timeout of half a second."""

    flags = ("--async_cores=8", "--request_timeout=0.5s", "--request_timeout_grace=30s")
    usual = QUIET

    def test_a_deadline_ends_the_wait_and_no_value_is_lost(self):
        self.events()
        begin_s = time.monotonic()
        self.assertEqual(self.request("GET", "/receive").status, 504)
        self.assertGreaterEqual(time.monotonic() - begin_s, 0.5)
        self.assertEqual(self.events(), ["RequestTimeout in /receive"])
        self.assertEqual(self.balances()["channel"], 0)
        sender = self.send("/send?kept")
        self.assertEqual(self.request("GET", "/receive").body, b"kept")
        self.assertEqual(sender.read_response().body, b"sent")


class GreenletModuleDeadlines(DeadlineTests, ModuleCase):
    engine = "greenlet"


class GeventModuleDeadlines(DeadlineTests, ModuleCase):
    engine = "gevent"


@unittest.skipUnless(shutil.which("gcc") or shutil.which("cc"), "no C compiler")
class ModuleOverflow(unittest.TestCase):
    def test_waits_and_timeouts_end_with_their_hub(self):
        for engine in ("greenlet", "gevent"):
            with self.subTest(engine):
                server = Server("hub_module_app", engine=engine, env={"OVERFLOW_LIBRARY": test_overflow._library},
                                usual=LOST).start()
                self.addCleanup(lambda server=server: server.process.poll() is None and server.kill())
                waiting = [server.connect() for _ in range(4)]
                for connection in waiting:
                    connection.send_request("GET", "/bounded_receive")
                with server.connect() as connection:
                    while json.loads(connection.get("/balances").body)["channel"] != -4:
                        pass
                    connection.send_request("GET", "/recurse")
                    self.assertEqual(connection.read_response().status, 500)
                for connection in waiting:
                    self.assertEqual(connection.read_response().status, 500)
                    connection.close()
                self.assertEqual(server.wait(), test_overflow.EXIT_UNFIT)


class GeventModuleDrain(unittest.TestCase):
    def test_a_drain_waits_for_a_greenlet_that_waits_for_a_green_thread(self):
        with Server("hub_module_app", engine="gevent",
                    usual=("the background has its result", "waiting for 1 functions")) as server:
            with server.connect() as connection:
                connection.get("/background?0.5")
            begin_s = time.monotonic()
            server.stop()
            self.assertGreaterEqual(time.monotonic() - begin_s, 0.3)
            self.assertIn("the background has its result", server.log.text())

    def test_one_that_does_not_get_an_answer_is_given_a_greenlet_exit(self):
        with Server("hub_module_app", "--drain_timeout=0.5s", engine="gevent",
                    usual=("the drain timed out", "in the background")) as server:
            with server.connect() as connection:
                connection.get("/forsaken")
            server.stop()
            self.assertIn("GreenletExit in the background", server.log.text())
