"""Requests that are served beside the ones a test harms: each must be answered right, and in time.

    class Overflow(NeighbourCase):
        app = "deadline_app"

        def test_harms_nobody(self):
            with self.neighbours():
                self.request("GET", "/spin?60")

The application answers /compute?N as testing/apps/deadline_app.py does: it waits ten times, COMPUTE_S in all.
"""

import contextlib
import hashlib
import threading
import time

from case import ServerCase

COMPUTE_S = 0.5
LATE_S_MAX = 3.0  # the machine may be busy


def computed(number):
    digest = hashlib.sha256()
    for step in range(10):
        digest.update(b"%d %d" % (number, step))
    return digest.hexdigest().encode()


class NeighbourCase(ServerCase):
    @contextlib.contextmanager
    def neighbours(self, count=10):
        """While the block runs, `count` clients make one request after the other, at least one each."""
        over = threading.Event()
        problems, waits_s = [], []

        def client(first):
            number = first
            while not (over.is_set() and number > first):
                begin_s = time.monotonic()
                try:
                    with self.server.connect() as connection:
                        response = connection.get(f"/compute?{number}")
                    if (response.status, response.body) != (200, computed(number)):
                        problems.append(f"/compute?{number}: {response}")
                except BaseException as error:  # of a thread: it would be lost
                    problems.append(f"/compute?{number}: {error!r}")
                waits_s.append(time.monotonic() - begin_s)
                number += count

        threads = [threading.Thread(target=client, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(problems, [], "neighbours were harmed")
        self.assertGreaterEqual(min(waits_s), COMPUTE_S)
        self.assertLess(max(waits_s), COMPUTE_S + LATE_S_MAX, "neighbours had to wait")
