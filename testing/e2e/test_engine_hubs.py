"""Live changes among all five engines: nothing is lost, and what is not there is refused."""

import json
import os
import tempfile
import time
import unittest

from link import Worker
from test_live_cores import Clients

ENGINES = ("UCONTEXT", "FCONTEXT", "THREAD", "GREENLET", "GEVENT")


class LiveHubs(unittest.TestCase):
    def start(self, **options):
        self.worker = Worker("hub_app", **options)
        self.addCleanup(self.worker.__exit__, None)
        self.worker.start()
        self.generation = 1

    def ask(self, **changes):
        self.generation += 1
        self.worker.pool = {**self.worker.pool, **changes, "generation": str(self.generation)}
        return self.worker.ask(apply={"pool": self.worker.pool, "canary_percent": 0})

    def apply(self, **changes):
        answer = self.ask(**changes)
        self.assertEqual(answer.WhichOneof("what"), "applied", answer)

    def await_only(self, generation):
        """Until every core is of this generation."""
        while [one.generation for one in self.worker.expect("observed").generations] != [generation]:
            pass

    def get(self, target):
        with self.worker.connect() as connection:
            return connection.get(target)

    def test_every_change_under_load_loses_nothing(self):
        self.start()
        targets = [("/", b"hello"), ("/sleep?0.005", b"slept"), ("/big?100000", b"x" * 100_000)]
        with Clients(self.worker, targets) as clients:
            for before in ENGINES:
                for after in ENGINES:
                    self.apply(engine=before)
                    clients.await_more(10)
                    self.apply(engine=after)
                    clients.await_more(10)
        self.assertEqual(clients.failures, [])
        self.worker.tell(drain={"reason": "the test's end"})
        self.assertEqual(self.worker.wait(), 0)

    def test_a_request_that_runs_keeps_its_engine_and_the_next_one_has_the_new(self):
        self.start()
        for engine, base in (("GREENLET", "greenlet"), ("GEVENT", "Greenlet"), ("UCONTEXT", None)):
            with self.worker.connect() as connection:
                connection.send_request("GET", "/sleep?0.5")
                time.sleep(0.1)
                self.apply(engine=engine)
                told = json.loads(self.get("/identity").body)
                self.assertEqual(told["base"] if told["type"] == "RequestGreenlet" else None, base)
                self.assertEqual(connection.read_response().body, b"slept")
            self.await_only(self.generation)

    def test_both_hubs_and_green_threads_run_beside_each_other(self):
        self.start()
        connections = []
        for engine in ENGINES:
            self.apply(engine=engine)
            connection = self.worker.connect()
            self.addCleanup(connection.close)
            connection.send_request("GET", "/sleep?0.5")
            connections.append(connection)
            time.sleep(0.05)
        for connection in connections:
            self.assertEqual(connection.read_response().body, b"slept")

    def test_lists_and_stacks_tell_of_greenlets(self):
        self.start(pool={"engine": "GEVENT"})
        self.get("/gevent_sleep?0")  # the hub has begun, and gevent is imported
        with self.worker.connect() as connection:
            connection.send_request("GET", "/gevent_sleep?1")
            time.sleep(0.3)
            listed, = self.worker.ask(list_requests={"count_max": 10}).request_list.requests
            stack = self.worker.ask(get_stack={"request": listed.name}).stack_text.python
            self.assertEqual(connection.read_response().body, b"slept")
        self.assertEqual(listed.call, "gevent hub")
        self.assertIn("in _gevent_sleep", stack)

    def test_an_operator_cancels_one_greenlet(self):
        self.start(pool={"engine": "GEVENT"})
        self.get("/gevent_sleep?0")  # the hub has begun, and gevent is imported
        with self.worker.connect() as cancelled, self.worker.connect() as other:
            cancelled.send_request("GET", "/gevent_sleep?30")
            time.sleep(0.3)
            listed, = self.worker.ask(list_requests={"count_max": 10}).request_list.requests
            other.send_request("GET", "/gevent_sleep?0.5")
            self.worker.ask(cancel_request={"request": listed.name, "reason": "a test"})
            self.assertEqual(cancelled.read_response().status, 503)
            self.assertEqual(other.read_response().body, b"slept")

    def test_an_engine_without_its_library_is_refused_and_the_old_one_stays(self):
        with tempfile.TemporaryDirectory(prefix="greenring-e2e-") as directory:
            for name in ("gevent", "greenlet"):
                with open(os.path.join(directory, f"{name}.py"), "w") as module:
                    module.write(f"raise ImportError('no {name} here')\n")
            self.start(environment={"PYTHONPATH": directory})
            for engine in ("GEVENT", "GREENLET"):
                answer = self.ask(engine=engine)
                self.assertEqual(answer.WhichOneof("what"), "refused", answer)
                self.assertIn(f"python3-{engine.lower()}", str(answer.refused))
                self.assertEqual(self.get("/").body, b"hello")
