"""Engine `thread`: a core is an OS thread. The same server, the same application, and what is different about it."""

import json
import threading
import time

from case import ServerCase
from fixture import Server, eventually

CORES = 100
SLEEP_S = 0.5


class OsThreads(ServerCase):
    app = "os_thread_app"
    engine = "thread"
    flags = (f"--async_cores={CORES}",)

    def test_a_request_runs_on_an_os_thread_of_its_own_name(self):
        told = json.loads(self.request("GET", "/identity").body)
        self.assertFalse(told["green"])
        self.assertNotEqual(told["native"], self.server.pid)

    def test_idents_and_thread_locals_belong_to_the_core(self):
        told = [json.loads(self.request("GET", "/identity").body) for _ in range(5)]
        counts = {}
        for one in told:
            counts.setdefault(one["ident"], []).append(one["count"])
        for count in counts.values():
            self.assertEqual(count, sorted(set(count)))
        self.assertLessEqual(len(counts), 2)  # one at a time: hardly more than one core is needed

    def test_one_connection_serves_many_requests(self):
        connection = self.connect()
        for _ in range(200):
            self.assertEqual(connection.get("/").body, b"hello")

    def test_bodies_stream_through(self):
        body = bytes(range(256)) * 4096
        self.assertEqual(self.request("POST", "/echo", body=body).body, body)

    def test_write_sends_every_piece(self):
        self.assertEqual(self.request("GET", "/write").body, b"".join(b"%03d" % n for n in range(100)))

    def test_a_hundred_sleep_at_the_same_time(self):
        begin_s = time.monotonic()
        connections = [self.connect() for _ in range(CORES)]
        for connection in connections:
            connection.send_request("GET", f"/sleep?{SLEEP_S}")
        for connection in connections:
            self.assertEqual(connection.read_response().body, b"slept")
        took_s = time.monotonic() - begin_s
        self.assertGreaterEqual(took_s, SLEEP_S)
        self.assertLess(took_s, SLEEP_S * CORES / 4)

    def test_the_loop_answers_while_another_thread_computes(self):
        busy = self.connect()
        busy.send_request("GET", "/compute?1")
        for _ in range(10):
            self.assertEqual(self.request("GET", "/").body, b"hello")
        self.assertEqual(busy.read_response().body, b"computed")

    def test_an_exception_is_500_and_the_core_goes_on(self):
        for _ in range(3):
            self.assertEqual(self.request("GET", "/fail").status, 500)
            self.expect_log("ValueError: on purpose")
        self.assertEqual(self.request("GET", "/").body, b"hello")

    def test_a_client_that_leaves_within_its_body_harms_nobody(self):
        for _ in range(5):
            connection = self.connect()
            connection.send(b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
            connection.close()
        eventually(lambda: len(json.loads(self.request("GET", "/events").body)) >= 1, "the application to be told")
        self.assertEqual(self.request("GET", "/").body, b"hello")

    def test_the_module_works_or_says_why_not(self):
        told = json.loads(self.request("GET", "/module").body)
        for name, answer in {"yield_": "None", "sleep": "None", "current": "None", "go": "7", "channel": "42",
                             "unbuffered": "selected", "in_request": "True", "set_request_timeout": "None",
                             "set_cancel_on_disconnect": "None"}.items():
            self.assertEqual(told[name], answer, name)
        self.assertRegex(told["timeout"], "^RuntimeError: .*green threads only")
        self.assertRegex(told["stack_report"], "^RuntimeError: ")


class OsThreadDeadlines(ServerCase):
    app = "os_thread_app"
    engine = "thread"
    flags = ("--async_cores=4", "--request_timeout=0.5s", "--request_timeout_grace=30s")
    usual = ("timed out after", "RequestTimeout", "Traceback", "  File", "    ")

    def events(self):
        return json.loads(self.request("GET", "/events").body)

    def test_code_that_computes_is_interrupted(self):
        self.events()
        begin_s = time.monotonic()
        self.assertEqual(self.request("GET", "/compute?20").status, 504)
        self.assertGreaterEqual(time.monotonic() - begin_s, 0.5)
        self.assertLess(time.monotonic() - begin_s, 10)
        self.assertEqual(self.events(), ["RequestTimeout"])

    def test_a_read_of_the_body_is_interrupted(self):
        self.events()
        connection = self.connect()
        connection.send(b"POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        self.assertEqual(connection.read_response().status, 504)
        connection.close()
        self.assertEqual(self.events(), ["RequestTimeout"])

    def test_a_blocking_call_is_interrupted_when_it_is_over(self):
        begin_s = time.monotonic()
        self.assertEqual(self.request("GET", "/sleep?1").status, 504)
        self.assertGreaterEqual(time.monotonic() - begin_s, 1)

    def test_the_core_serves_the_next_request_unharmed(self):
        for _ in range(8):
            self.assertEqual(self.request("GET", "/compute?20").status, 504)
            self.assertEqual(self.request("GET", "/").body, b"hello")


class OsThreadDrain(ServerCase):
    app = "os_thread_app"
    engine = "thread"
    flags = ("--async_cores=8",)

    def test_a_drain_waits_for_requests_and_ends_the_threads(self):
        with Server("os_thread_app", "--async_cores=8", engine="thread") as server:
            connections = [server.connect() for _ in range(8)]
            for connection in connections:
                connection.send_request("GET", "/sleep?0.5")
            eventually(lambda: len(server.os_threads()) > 8, "eight threads to run")
            stopper = threading.Thread(target=server.terminate)
            stopper.start()
            for connection in connections:
                self.assertEqual(connection.read_response().body, b"slept")
            stopper.join()

    def test_threads_that_do_not_end_are_left_behind_with_a_message(self):
        server = Server("os_thread_app", "--async_cores=2", "--drain_timeout=0.2s", engine="thread").start()
        try:
            connection = server.connect()
            connection.send_request("GET", "/sleep?60")
            eventually(lambda: len(server.os_threads()) > 2, "the thread to run")
            time.sleep(0.2)
            server.terminate()
            server.log.expect("1 requests did not end after the drain; exiting without them", deadline_s=20)
            server.process.wait(timeout=20)
            connection.close()
        finally:
            server.kill()


