"""uwsgi.lock: across the workers of a pool, without a master, and when the one who holds it dies."""

import json
import os
import signal
import unittest

from overlap import OverlapCase
from uwsgi_master import UwsgiMasterCase


class Locks(UwsgiMasterCase):
    def assert_one_at_a_time(self, count):
        locked, unlocks = self.events("locked"), self.events("unlocks")
        self.assertEqual((len(locked), len(unlocks)), (count, count))
        for end, begin in zip(unlocks, locked[1:]):
            self.assertGreaterEqual(begin[0], end[0])

    def test_one_request_at_a_time_in_all_workers(self):
        with self.uwsgi_master() as server:
            connections = [self.send(server, "/lock?0.1") for _ in range(8)]
            workers = {json.loads(connection.getresponse().read())[0] for connection in connections}
            for connection in connections:
                connection.close()
            self.assert_one_at_a_time(8)
            self.assertLessEqual(workers, {1, 2})
            self.assertIs(self.json(server, "/is-locked"), False)

    def test_two_requests_of_one_worker_do_not_deadlock(self):
        for engine in ("ucontext", "thread"):
            with self.subTest(engine), self.uwsgi_master(workers=1, engine=engine) as server:
                first, second = self.send(server, "/lock?0.3"), self.send(server, "/lock?0.3")
                self.await_events("locked", 1)
                self.assertIs(self.json(server, "/is-locked"), True)
                for connection in (first, second):
                    self.assertEqual(connection.getresponse().status, 200)
                    connection.close()
                self.assert_one_at_a_time(2)
            os.unlink(self.path("events"))

    def test_threads_wait_for_locks_too(self):
        with self.uwsgi_master(workers=1) as server:
            self.assertEqual(self.json(server, "/lock-in-thread"), [True, False, True, None])

    def test_a_lock_is_free_when_its_holder_dies(self):
        with self.uwsgi_master() as server:
            holder = self.send(server, "/lock?3600")
            pid = self.await_events("locked", 1)[0][2]
            self.assertIs(self.json(server, "/is-locked"), True)
            os.kill(pid, signal.SIGKILL)
            server.log.expect(r"died: signal 9")  # what it accepts while it dies is lost with it
            second = self.send(server, "/lock?0")
            self.await_events("locked", 2)
            self.assertNotEqual(self.events("locked")[1][2], pid)
            holder.close()
            second.close()


class WithoutMaster(OverlapCase):
    app = "uwsgi_lock_app"
    flags = ("--uwsgi_api",)

    def test_locks_work_in_the_process(self):
        first, second = self.send_all(["/lock?0.3", "/lock?0.3"])
        times = [json.loads(each.read_response().body) for each in (first, second)]
        times.sort()
        self.assertGreaterEqual(times[1][0], times[0][1])

    def test_signals_need_a_master(self):
        self.assertEqual(json.loads(self.request("GET", "/signals").body), ["ValueError"] * 5 + ["Exception"])


if __name__ == "__main__":
    unittest.main()
