"""Every change of a pool that serves, over the API, while wrk asks: not one request fails."""

import contextlib

from fixture import eventually
from master import MasterCase
from wrk import Wrk


class LiveUnderLoad(MasterCase):
    @contextlib.contextmanager
    def load(self):
        """Clients that keep their connections and clients that do not. None of them may see anything but answers."""
        environment = {"LIVE_APP_REVISION": self.path("revision", "one")}
        with self.master("--workers=2", "--async_cores=64", env=environment) as self.server:
            kept, fresh = Wrk(self.server.port, connections=6), Wrk(self.server.port, connections=4, close=True)
            with kept, fresh:
                self.server.await_more_requests()
                yield
                self.server.await_more_requests()
            self.assertEqual((kept.failures, fresh.failures), ({}, {}))
            self.assertGreater(min(kept.requests, fresh.requests), 100)
            answered = kept.requests + fresh.requests
            eventually(lambda: self.server.statistics().requests >= answered, "every request to be counted")

    def change(self, **fields):
        before = self.server.pool()
        operation = self.server.update(**fields)
        self.assertEqual(operation.generation, before.generation + 1)
        self.assert_done(self.server, operation)
        pool = self.assert_observed(self.server)
        self.assertEqual(pool.generation, before.generation + 1)
        return pool

    def test_engines(self):
        with self.load():
            for engine, green in (("FCONTEXT", True), ("THREAD", False), ("FCONTEXT", True), ("UCONTEXT", True),
                                  ("THREAD", False), ("UCONTEXT", True)):
                self.change(engine=engine)
                self.assertEqual(self.server.who()["green"], green)

    def test_cores_and_stacks(self):
        with self.load():
            for cores in (8, 1, 200, 64):
                self.change(asyncCores=cores)
            for pages in (32, 128, 64):
                self.assertEqual(self.change(stackPages=pages).stack_size_bytes, pages * 4096)
                self.assertEqual(self.server.who()["stack_size"], pages * 4096)
            self.change(asyncCores=16, engine="THREAD", stackSizeBytes=str(512 * 1024))

    def test_limits_and_timeouts(self):
        with self.load():
            self.change(timeouts={"request": "20s", "keepalive": "5s"})
            self.change(limits={"requestFields": 20})
            self.change(queueDepthMax=500)
            self.change(recycling={"requestsMax": "1000000"})

    def test_workers(self):
        with self.load():
            for workers in (1, 3, 1, 2):
                self.change(workers=workers)
                self.assertEqual(sorted(one.slot for one in self.server.workers() if one.state == one.READY),
                                 list(range(1, workers + 1)))

    def test_reload_and_restart(self):
        with self.load():
            before = {one.pid for one in self.server.workers()}
            self.path("revision", "two")
            self.assert_done(self.server, self.server.change("ReloadPool"))
            self.assertEqual(self.server.who()["revision"], "two")
            after = self.server.workers()
            self.assertTrue(before.isdisjoint(one.pid for one in after if one.state == one.READY))
            worker = next(one for one in after if one.state == one.READY and one.slot == 1)
            self.assert_done(self.server, self.server.api.call("WorkerService", "RestartWorker", name=worker.name))
            self.assertNotIn(worker.pid, [one.pid for one in self.server.workers() if one.state == one.READY])
            self.assert_observed(self.server)

    def test_a_change_that_replaces_workers(self):
        with self.load():
            self.change(application={"target": "live_app", "environment": {"LIVE_APP_NAME": "changed"}},
                        mask="application.environment")
            self.assertEqual(self.server.who()["name"], "changed")

    def test_drain_and_resume(self):
        with self.load():
            for _ in range(2):
                self.assert_done(self.server, self.server.change("DrainPool"))
                self.assertEqual(self.server.workers(), [])
                with self.server.connect() as connection:
                    connection.send_request("GET", "/who")
                    self.assertFalse(connection.has_buffered_bytes())
                    self.assert_done(self.server, self.server.change("ResumePool"))
                    self.assertEqual(connection.read_response().status, 200)
                self.server.await_more_requests()
            self.assert_observed(self.server)
