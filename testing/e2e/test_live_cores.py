"""Engine, stack size and number of cores change while clients send requests, and none of them is lost."""

import json
import threading
import time
import unittest

from fixture import eventually
from link import Worker

CLIENTS = 8


class Clients:
    """They send requests one after the other, on connections that are kept, until stopped."""

    def __init__(self, worker, targets):
        self._worker = worker
        self._targets = targets
        self._stop = threading.Event()
        self._served = [0] * CLIENTS
        self.failures = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def served(self):
        return sum(self._served)

    def await_more(self, count):
        aim = self.served() + count
        eventually(lambda: self.served() >= aim or self.failures, f"{count} more requests to be served")

    def _run(self, number):
        try:
            with self._worker.connect() as connection:
                while not self._stop.is_set():
                    target, body = self._targets[self._served[number] % len(self._targets)]
                    answer = connection.get(target)
                    if answer.status != 200 or answer.body != body:
                        raise AssertionError(f"{target}: {answer}")
                    self._served[number] += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(repr(error))


class LiveCores(unittest.TestCase):
    def setUp(self):
        self.worker = Worker("os_thread_app")
        self.addCleanup(self.worker.__exit__, None)
        self.worker.start()
        self.generation = 1

    def apply(self, canary_percent=0, **changes):
        self.generation += 1
        self.worker.pool = {**self.worker.pool, **changes, "generation": str(self.generation)}
        return self.again(canary_percent)

    def again(self, canary_percent=0):
        answer = self.worker.ask(apply={"pool": self.worker.pool, "canary_percent": canary_percent})
        self.assertEqual(answer.WhichOneof("what"), "applied", answer)

    def await_only(self, generation):
        """Until every core is of this generation."""
        while True:
            told = [one.generation for one in self.worker.expect("observed").generations]
            if told == [generation]:
                return

    def identity(self):
        with self.worker.connect() as connection:
            return json.loads(connection.get("/identity").body)

    def test_every_change_under_load_loses_nothing(self):
        with Clients(self.worker, [("/", b"hello"), ("/sleep?0.005", b"slept"), ("/", b"hello")]) as clients:
            for change in [{"engine": "FCONTEXT"}, {"engine": "THREAD"}, {"stack_size_bytes": str(512 * 1024)},
                           {"engine": "UCONTEXT"}, {"async_cores": 2}, {"engine": "THREAD", "async_cores": 30},
                           {"engine": "FCONTEXT", "stack_size_bytes": str(64 * 1024)}, {"queue_depth_max": 50}]:
                self.apply(**change)
                clients.await_more(50)
                self.await_only(self.generation)
        self.assertEqual(clients.failures, [])

    def test_a_request_that_runs_keeps_its_engine_and_the_next_one_has_the_new(self):
        with self.worker.connect() as connection:
            connection.send_request("GET", "/sleep?1")
            time.sleep(0.2)
            self.assertTrue(self.identity()["green"])
            self.apply(engine="THREAD")
            self.assertFalse(self.identity()["green"])
            self.assertEqual(connection.read_response().body, b"slept")
        self.await_only(2)

    def test_a_canary_takes_its_share_and_is_promoted_or_taken_back(self):
        before = self.worker.pool
        self.apply(canary_percent=25, engine="THREAD")
        green = [self.identity()["green"] for _ in range(40)]
        self.assertEqual(green.count(False), 10)
        after = self.worker.pool
        self.worker.pool = before
        self.again()
        self.assertTrue(all(self.identity()["green"] for _ in range(8)))
        self.worker.pool = after
        self.again(canary_percent=50)
        self.again()
        self.assertFalse(any(self.identity()["green"] for _ in range(8)))

    def test_a_request_beyond_the_percent_is_refused(self):
        answer = self.worker.ask(apply={"pool": self.worker.pool, "canary_percent": 100})
        self.assertEqual(answer.WhichOneof("what"), "refused")
