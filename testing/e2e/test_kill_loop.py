"""Workers are killed, again and again, while clients ask: only what was in flight on a killed one is lost.

GREENRING_KILL_LOOP_S (4) is how long each test goes on.
"""

import os
import random
import signal
import threading
import time

from fixture import eventually
from master import MasterCase
from wire import Connection
from wrk import Wrk

LOOP_S = float(os.environ.get("GREENRING_KILL_LOOP_S", "4"))
CLIENTS = 12


class Client(threading.Thread):
    """Sends requests one after the other on a connection that it keeps, and knows which worker that is connected to.

    `losses`: of each request that failed, when its connection was opened, when it failed, the worker's process (0 when
    that had not answered anything yet) and the error.
    """

    def __init__(self, address):
        super().__init__(daemon=True)
        self._address = address
        self._told_to_end = threading.Event()
        self.answers = 0
        self.losses = []

    def run(self):
        while not self._told_to_end.is_set():
            self._use_a_connection()

    def stop(self):
        self._told_to_end.set()
        self.join(30)

    def _use_a_connection(self):
        opened_s, pid = time.monotonic(), 0
        try:
            with Connection(self._address) as connection:
                while not self._told_to_end.is_set():
                    response = connection.get("/")
                    if response.status != 200:
                        raise AssertionError(f"{response}")
                    pid = int(response.body)
                    self.answers += 1
                    if response.get("Connection") == "close":
                        return
        except (OSError, AssertionError) as error:
            self.losses.append((opened_s, time.monotonic(), pid, repr(error)))


class KillLoop(MasterCase):
    def setUp(self):
        super().setUp()
        self.random = random.Random(20)
        self.kills = {}  # of a process: when

    def kill_one(self, server):
        """And waits until the master has seen it."""
        worker = self.random.choice([one for one in server.workers() if one.state == one.READY])
        self.kills[worker.pid] = time.monotonic()
        os.kill(worker.pid, signal.SIGKILL)
        eventually(lambda: worker.name not in [one.name for one in server.workers()], f"the end of {worker.name}")

    def assert_explained(self, loss):
        """A request may be lost with the worker that it was sent to. Where nobody knows which that was, one must have
        been killed after the connection was opened and before it ended."""
        opened_s, failed_s, pid, error = loss
        if pid:
            self.assertIn(pid, self.kills, f"{error} on a worker that was not killed")
        else:
            self.assertTrue(any(opened_s <= killed_s <= failed_s for killed_s in self.kills.values()),
                            f"{error} on a connection that was opened {failed_s - opened_s:.3f} s before, "
                            f"{[round(opened_s - killed_s, 3) for killed_s in self.kills.values()]} s after the kills")

    def assert_reported(self, server, workers):
        """Deaths are told over the API: the last ten, with their reason, and how many there were."""
        self.assertEqual(server.pool().status.restarts, len(self.kills))
        ended = [one for one in server.workers(ended=True) if one.state == one.ENDED]
        self.assertEqual(len(ended), min(10, len(self.kills)))
        self.assertEqual({one.end_reason for one in ended}, {"signal 9 (Killed)"})
        self.assertTrue({one.pid for one in ended} <= set(self.kills))
        self.assertEqual(len(server.events("WORKER_DIED")), len(self.kills))
        self.assertEqual(len([one for one in server.workers() if one.state == one.READY]), workers)

    def test_only_what_was_in_flight_on_the_killed_one_is_lost(self):
        with self.master("--workers=3", "--async_cores=16") as server:
            clients = [Client(server.address) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            end_s = time.monotonic() + LOOP_S
            while time.monotonic() < end_s or len(self.kills) < 4:
                answers = sum(client.answers for client in clients)
                eventually(lambda a=answers: sum(client.answers for client in clients) > a + 20, "20 more answers")
                self.kill_one(server)
                server.await_ready()
            for client in clients:
                client.stop()
            losses = [loss for client in clients for loss in client.losses]
            for loss in losses:
                self.assert_explained(loss)
            self.assertLessEqual(len(losses), len(self.kills) * CLIENTS)
            self.assertGreater(len(losses), 0, "as many clients as that have been unlucky at least once")
            self.assert_reported(server, 3)
            print(f"    {len(self.kills)} kills, {sum(client.answers for client in clients)} answers, "
                  f"{len(losses)} lost", flush=True)

    def test_wrk_sees_it_too_and_no_more_than_it_had_open(self):
        with self.master("--workers=2", "--async_cores=16") as server:
            with Wrk(server.port, connections=8) as load:
                server.await_more_requests()
                for _ in range(3):
                    self.kill_one(server)
                    server.await_ready()
            self.assertGreater(sum(load.failures.values()), 0, "the counter that other tests find at zero")
            self.assertLessEqual(sum(load.failures.values()), 3 * 8, load.failures)
            self.assert_reported(server, 2)

    def test_connections_wait_for_the_only_worker_to_come_back(self):
        with self.master("--workers=1", "--async_cores=16") as server:
            for _ in range(5):
                self.kill_one(server)
                began_s = time.monotonic()
                clients = [server.connect() for _ in range(CLIENTS)]
                for client in clients:
                    client.send_request()
                for client in clients:
                    self.assertEqual(client.read_response().status, 200)
                    client.close()
                print(f"    {CLIENTS} answers {1000 * (time.monotonic() - began_s):.0f} ms after the death", flush=True)
                server.await_ready()
            self.assert_reported(server, 1)
