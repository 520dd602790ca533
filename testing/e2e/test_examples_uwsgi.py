"""The programs of examples/ that were written for uWSGI's async modes and for gevent, here and under Debian's uWSGI.

Each class runs once for each host that is named above it: an engine of the server, or one of uWSGI's. uGreen is not
among those of the chat and of psycopg2: with CPython 3.11 uWSGI 2.0.21 crashes on thirty of their requests.
"""

import concurrent.futures
import contextlib
import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from components import Postgres
from components.uwsgi import Uwsgi
from fixture import ROOT, Server, eventually
from overlap import LATE_S_MAX
from wire import DEADLINE_S

EXAMPLES = os.path.join(ROOT, "examples")
MANY = 30


def on_hosts(*hosts):
    """Replaces the class by one subclass per host: an engine, or uwsgi_ugreen, uwsgi_greenlet, uwsgi_gevent."""
    def replace(cls):
        module = sys.modules[cls.__module__]
        for host in hosts:
            name = f"{cls.__name__}_{host}"
            setattr(module, name, type(name, (cls,), {"host": host, "__module__": cls.__module__}))
        return None
    return replace


class Program(unittest.TestCase):
    """Base of tests of one example; `url` is where it is served."""

    example = None
    host = None
    environment = {}
    ready_path = "/"
    master = "off"
    usual = ()

    def setUp(self):
        self.url = self.start_uwsgi() if self.host.startswith("uwsgi_") else self.start_server()

    def start_server(self):
        flags = [flag for flag in self.flags() if not flag.startswith("--engine=")]
        flags += [f"--env={name}={value}" for name, value in self.environment.items()]
        flags += ["--control=off"] if self.master == "on" else []
        server = Server("app", *flags, engine=self.host, chdir=os.path.join(EXAMPLES, self.example), usual=self.usual,
                        master=self.master)
        server.start()
        self.addCleanup(server.stop)
        return f"http://127.0.0.1:{server.port}"

    def flags(self):
        try:
            with open(os.path.join(EXAMPLES, self.example, "flags")) as flags:
                return flags.read().split()
        except FileNotFoundError:
            return []

    def start_uwsgi(self):
        engine = self.host.removeprefix("uwsgi_")
        if missing := Uwsgi.missing(engine):
            self.skipTest(f"not installed: {', '.join(missing)}")
        server = Uwsgi(os.path.join(EXAMPLES, self.example, "app.py"), engine=engine, environment=self.environment,
                       ready_path=self.ready_path)
        server.start()
        self.addCleanup(server.stop)
        return f"http://127.0.0.1:{server.port}"

    def fetch(self, target, data=None):
        """(status, text). `data`, a dictionary, is sent as a form."""
        body = urllib.parse.urlencode(data).encode() if data is not None else None
        try:
            with urllib.request.urlopen(self.url + target, body, timeout=DEADLINE_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def fetch_all(self, targets):
        """The texts of what is asked for at once; all must be 200."""
        address = self.url.removeprefix("http://")
        connections = [http.client.HTTPConnection(address, timeout=DEADLINE_S) for _ in targets]
        with contextlib.ExitStack() as stack:
            for connection in connections:
                stack.callback(connection.close)
                connection.connect()
            for connection, target in zip(connections, targets):  # quickly: what they ask for may be soon done
                head = f"GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
                connection.sock.sendall(head.encode())
            answers = [http.client.HTTPResponse(connection.sock, method="GET") for connection in connections]
            for answer in answers:
                answer.begin()
            self.assertEqual([answer.status for answer in answers], [200] * len(targets))
            return [answer.read().decode() for answer in answers]

    def fetch_overlapping(self, targets, wait_s):
        """As fetch_all, of requests that wait so long each: together they take about as long as one."""
        begin_s = time.monotonic()
        texts = self.fetch_all(targets)
        took_s = time.monotonic() - begin_s
        self.assertGreaterEqual(took_s, wait_s)
        self.assertLess(took_s, wait_s * len(targets) / 2)
        return texts


@on_hosts("ucontext", "fcontext", "thread", "greenlet", "gevent", "uwsgi_ugreen", "uwsgi_greenlet")
class CpuSuspend(Program):
    example = "cpu_suspend"
    ready_path = "/?steps=1"

    def test_thirty_loops_run_at_once(self):
        texts = self.fetch_all(["/?steps=1000"] * MANY)
        for text in texts:
            self.assertEqual(len(text.splitlines()), 10)
            self.assertIn("step 1000: 303 primes", text)
        most = max(int(re.search(r"up to (\d+) requests at work\n\Z", text)[1]) for text in texts)
        self.assertGreater(most, 4)  # all of them, unless the client is slower than the loops


@on_hosts("ucontext", "fcontext", "thread", "greenlet", "gevent", "uwsgi_ugreen", "uwsgi_greenlet")
class IoWait(Program):
    example = "io_wait"
    ready_path = "/?seconds=0"

    def setUp(self):
        self.service = subprocess.Popen([sys.executable, os.path.join(EXAMPLES, "io_wait", "service.py"), "0"],
                                        stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end_service)
        port = re.fullmatch(r"ready on (\d+)\n", self.service.stdout.readline())[1]
        self.environment = {"SERVICE": f"127.0.0.1:{port}"}
        super().setUp()

    def end_service(self):
        self.service.kill()
        self.service.wait()
        self.service.stdout.close()

    def test_waits_overlap(self):
        texts = self.fetch_overlapping(["/?seconds=1.2"] * MANY, 1.2)
        self.assertEqual(set(texts), {"fine, after 1.2 s\n"})

    def test_a_wait_has_a_timeout(self):
        begin_s = time.monotonic()
        self.assertEqual(self.fetch("/?seconds=30&timeout=1"), (504, "it takes too long\n"))
        self.assertLess(time.monotonic() - begin_s, 1 + LATE_S_MAX)

    def test_a_service_that_is_not_there(self):
        self.service.kill()
        self.service.wait()
        status, text = self.fetch("/?seconds=0")
        self.assertEqual(status, 502, text)


@on_hosts("ucontext", "fcontext", "thread", "greenlet", "gevent", "uwsgi_greenlet")
class CometChat(Program):
    example = "comet_chat"

    def waiting(self):
        return re.search(r"\d+", self.fetch("/users")[1])[0]

    def test_thirty_users_hear_what_one_says(self):
        with concurrent.futures.ThreadPoolExecutor(MANY) as users:
            for after, text in enumerate(["hello", "h\u00e9llo <again>"]):
                heard = [users.submit(self.fetch, f"/messages?after={after}") for _ in range(MANY)]
                eventually(lambda: self.waiting() == str(MANY), "thirty users to wait")
                self.assertEqual(self.fetch("/messages", {"name": "Ada", "text": text})[0], 200)
                for answer in heard:
                    status, body = answer.result()
                    self.assertEqual(status, 200)
                    self.assertIn('"name": "Ada"', body)
                    self.assertIn(f'"last": {after + 1}', body)
        self.assertEqual(self.waiting(), "0")

    def test_what_was_said_before_is_heard_at_once(self):
        for number in range(1, 4):
            self.fetch("/messages", {"name": "Ada", "text": f"line {number}"})
        self.assertIn('"text": "line 3"', self.fetch("/messages?after=2")[1])
        self.assertNotIn("line 2", self.fetch("/messages?after=2")[1])
        self.assertIn("<title>Chat</title>", self.fetch("/")[1])


class Psycopg2Waits(Program):
    """Base: the same queries, whatever waits for them."""

    example = "psycopg2_waits"
    waits = None

    def setUp(self):
        self.environment = {"DSN": self.postgres.dsn, "WAITS": self.waits}
        super().setUp()

    def flags(self):
        return ["--uwsgi_api"] if self.waits == "suspend" else []

    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres().start()
        cls.addClassCleanup(cls.postgres.stop)

    def check_queries(self):
        texts = self.fetch_overlapping(["/?seconds=1"] * MANY, 1)
        self.assertEqual(set(texts), {"('slept', 1.0)\n"})
        self.assertEqual(self.fetch("/rows"), (200, "(50000, 5000000)\n"))
        self.assertEqual(self.fetch("/error"), (500, "UndefinedColumn: 42703\n"))


@on_hosts("ucontext", "fcontext", "thread")
class Psycopg2WithNothing(Psycopg2Waits):
    waits = "nothing"

    def test_queries_overlap(self):
        self.check_queries()


@on_hosts("ucontext", "fcontext", "thread", "greenlet", "gevent", "uwsgi_greenlet")
class Psycopg2WithSuspend(Psycopg2Waits):
    waits = "suspend"

    def test_queries_overlap(self):
        self.check_queries()


@on_hosts("gevent", "uwsgi_gevent")
class Psycopg2WithPsycogreen(Psycopg2Waits):
    waits = "psycogreen"

    def test_queries_overlap(self):
        self.check_queries()


@on_hosts("gevent", "uwsgi_gevent")
class GeventBackground(Program):
    example = "gevent_background"
    ready_path = "/mails"

    def test_sleeps_overlap(self):
        self.assertEqual(set(self.fetch_overlapping(["/sleep?seconds=1"] * MANY, 1)), {"slept\n"})

    def test_names_are_resolved(self):
        answer = "localhost is 127.0.0.1\n127.0.0.2 is 127.0.0.2\n"
        self.assertEqual(self.fetch("/names?name=localhost&name=127.0.0.2"), (200, answer))

    def test_a_stream_arrives_line_by_line(self):
        arrived_s = []
        with urllib.request.urlopen(self.url + "/stream?count=5", timeout=DEADLINE_S) as stream:
            for number, line in enumerate(stream, 1):
                self.assertEqual(line, f"line {number}\n".encode())
                arrived_s.append(time.monotonic())
        self.assertEqual(len(arrived_s), 5)
        self.assertGreater(arrived_s[-1] - arrived_s[0], 0.2)

    def test_work_goes_on_after_the_response(self):
        begin_s = time.monotonic()
        self.assertEqual(self.fetch("/order")[0], 200)
        self.assertEqual(self.fetch("/mails")[1], "0 sent\n")
        self.assertLess(time.monotonic() - begin_s, 1)
        eventually(lambda: self.fetch("/mails")[1] == "1 sent\n", "the mail to be sent")


@on_hosts("gevent", "uwsgi_gevent")
class GeventSignals(Program):
    example = "gevent_signals"
    master = "on"  # who sends the signals
    usual = ("",)

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.watched = os.path.join(directory.name, "watched")
        self.environment = {"WATCHED": self.watched}
        super().setUp()

    def wait_for(self, pattern):
        eventually(lambda: re.search(pattern, self.fetch("/")[1]), pattern)

    def test_a_timer_ticks(self):
        self.wait_for("tick: [2-9]")

    def test_a_watched_file_is_noticed(self):
        with open(self.watched, "a") as watched:
            watched.write("changed\n")
        self.wait_for("the file has changed: [1-9]")

    def test_a_job_in_the_background_sends_a_signal(self):
        self.assertEqual(self.fetch("/work", {})[1], "the job has begun\n")
        self.wait_for("a job is done: 1\n")


@on_hosts("ucontext", "fcontext")
class SmallStacks(Program):
    example = "stack_overflow"

    def start_server(self, *more):
        server = Server("app", *self.flags(), *more, "--control=off", engine=self.host, master="on",
                        chdir=os.path.join(EXAMPLES, self.example), usual=("",))
        server.start()
        self.addCleanup(server.stop)
        return f"http://127.0.0.1:{server.port}"

    def process(self, text):
        return int(re.search(r"by process (\d+)\n", text)[1])

    def test_recursion_ends_with_an_exception(self):
        for target in ("/python?depth=100000", "/c?depth=100000"):
            status, text = self.fetch(target)
            self.assertEqual(status, 200)
            self.assertIn("RecursionError", text)
        self.assertIn("done", self.fetch("/c?depth=10")[1])

    def test_an_overflow_costs_one_request_and_the_worker_is_replaced(self):
        first = self.process(self.fetch("/wait?seconds=0")[1])
        with concurrent.futures.ThreadPoolExecutor(1) as other:
            waits = other.submit(self.fetch, "/wait?seconds=1.5")
            time.sleep(0.3)  # so that it waits by then; if it does not, the test shows less
            self.assertEqual(self.fetch("/guard?depth=1900")[0], 500)
            status, text = waits.result()
        self.assertEqual((status, self.process(text)), (200, first))
        eventually(lambda: self.process(self.fetch("/wait?seconds=0")[1]) != first, "another worker to answer")

    def test_a_stack_of_more_pages_is_enough(self):
        self.url = self.start_server("--stack_pages=256")
        self.assertIn("done", self.fetch("/guard?depth=1900")[1])


del Psycopg2Waits
