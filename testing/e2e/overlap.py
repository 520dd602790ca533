"""Requests that wait beside each other: sent at once, answered at once, on one OS thread.

    class Sleep(OverlapCase):
        app = "waiting_app"

        def test_sleeps_overlap(self):
            self.assert_overlap(["/sleep?0.5"] * 50, wait_s=0.5)
"""

import json
import select
import time

from case import ServerCase
from wire import DEADLINE_S

LATE_S_MAX = 3.0  # how much later than ideal all answers may be here: the machine may be busy
SERIAL_SHARE_MAX = 0.7  # and where that is not far from waiting one after the other: this share of it
SAMPLE_S = 0.02


class OverlapCase(ServerCase):
    """Base of tests whose handlers block."""

    late_s_max = LATE_S_MAX

    def send_all(self, targets):
        """A connection for each target, its request sent, nothing read."""
        connections = [self.connect() for _ in targets]
        for connection, target in zip(connections, targets):
            connection.send_request("GET", target)
        return connections

    def read_all(self, connections):
        """The bodies of the answers, which must be 200."""
        bodies = []
        for connection in connections:
            response = connection.read_response()
            self.assertEqual(response.status, 200, response)
            bodies.append(response.body)
            connection.close()
        return bodies

    def assert_overlap(self, targets, wait_s, threads_more_max=0):
        """Sends all `targets` at once, each of which waits `wait_s`; returns the bodies of the answers.

        All together must take about `wait_s`, and the server no OS thread more than it had, but for
        `threads_more_max`. The kernel's own workers (io_uring's, for files that cannot be polled) are not counted.
        """
        limit_s = min(wait_s + self.late_s_max, wait_s * len(targets) * SERIAL_SHARE_MAX)
        threads_before = self.server.os_threads()
        begin_s = time.monotonic()
        connections = self.send_all(targets)
        threads = self._most_threads_until_answered(connections)
        bodies = self.read_all(connections)
        took_s = time.monotonic() - begin_s
        self.assertGreaterEqual(took_s, wait_s, "an answer came before its wait was over")
        self.assertLess(took_s, limit_s, f"{len(targets)} waits of {wait_s} s did not overlap")
        self.assertLessEqual(len(threads), len(threads_before) + threads_more_max, f"OS threads: {sorted(threads)}")
        return bodies

    def assert_overlap_json(self, targets, wait_s, threads_more_max=0):
        return [json.loads(body) for body in self.assert_overlap(targets, wait_s, threads_more_max)]

    def _most_threads_until_answered(self, connections):
        end_s = time.monotonic() + DEADLINE_S
        most = []
        while True:
            now = self.server.os_threads()
            most = max(most, now, key=len)
            ready, _, _ = select.select([connection.socket for connection in connections], [], [], SAMPLE_S)
            if ready or time.monotonic() > end_s:
                return most

    def assert_still_parked(self, connections):
        """None is answered, and others are: what the handlers wait for has not happened."""
        for _ in range(3):
            self.assertEqual(self.request("GET", "/").status, 200)
        for connection in connections:
            self.assertFalse(connection.has_buffered_bytes(), "answered before what it waits for has happened")

    def json(self, target, **options):
        response = self.request("GET", target, **options)
        self.assertEqual(response.status, 200, response)
        return json.loads(response.body)
