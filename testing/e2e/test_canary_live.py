"""Changes that are tried on a share of the cores first, while clients ask; what does worse goes back by itself."""

import grpc

from fixture import eventually
from master import MasterCase
from wrk import Wrk

ABORTED = grpc.StatusCode.ABORTED.value[0]
CANCELLED = grpc.StatusCode.CANCELLED.value[0]
LARGE = str(512 * 1024)


class CanaryLive(MasterCase):
    def update(self, server, **fields):
        """With a canary on half of the cores."""
        canary = {"percent": 50, "duration": "2s", "requestsMin": "50", "p99RisePercent": 400}
        return server.update(canary=canary, **fields)

    def assert_rolled_back(self, server, operation, before):
        ended = server.finish(operation)
        self.assertEqual(ended.error.code, ABORTED, ended)
        server.await_ready()
        pool = self.assert_observed(server)
        self.assertEqual((operation.generation, pool.generation), (before.generation + 1, before.generation + 2))
        self.assertEqual((pool.engine, pool.stack_size_bytes, pool.async_cores),
                         (before.engine, before.stack_size_bytes, before.async_cores))
        events = server.events("CANARY_ROLLED_BACK")
        self.assertEqual([one.resource for one in events], ["pools/web"])
        return ended.error.message

    def test_one_that_does_as_well_is_promoted(self):
        with self.master("--workers=2", "--async_cores=16") as server:
            with Wrk(server.port) as load:
                operation = self.update(server, engine="FCONTEXT", stackSizeBytes=LARGE)
                eventually(lambda: len(server.pool().status.generations) == 2, "both generations to run")
                self.assert_done(server, operation)
            self.assertEqual(load.failures, {})
            pool = self.assert_observed(server)
            self.assertEqual((pool.generation, pool.stack_size_bytes), (2, int(LARGE)))
            self.assertEqual(server.who()["stack_size"], int(LARGE))
            self.assertEqual(server.events("CANARY_ROLLED_BACK"), [])

    def test_one_that_answers_with_errors_goes_back(self):
        with self.master("--workers=2", "--async_cores=16") as server:
            before = server.pool()
            with Wrk(server.port, "/fails-on-threads") as load:
                message = self.assert_rolled_back(server, self.update(server, engine="THREAD"), before)
            self.assertRegex(message, "error")
            self.assertEqual(set(load.failures), {"status"}, "the canary's errors, and no others")
            self.assertTrue(server.who()["green"])
            with Wrk(server.port, "/fails-on-threads") as load:
                server.await_more_requests()
            self.assertEqual(load.failures, {}, "nothing of the canary is left")

    def test_one_that_is_slower_goes_back(self):
        with self.master("--workers=2", "--async_cores=16") as server:
            before = server.pool()
            with Wrk(server.port, "/slow-on-large-stacks") as load:
                message = self.assert_rolled_back(server, self.update(server, stackSizeBytes=LARGE), before)
            self.assertRegex(message, "p99")
            self.assertEqual(load.failures, {})
            self.assertEqual(server.who()["stack_size"], before.stack_size_bytes)

    def test_an_operator_takes_one_back(self):
        with self.master("--workers=1", "--async_cores=16") as server:
            before = server.pool()
            operation = server.update(canary={"percent": 50, "duration": "600s"}, engine="THREAD")
            with self.assertRaises(grpc.RpcError) as caught:
                server.update(asyncCores=8)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
            self.assertIn(operation.name, caught.exception.details())
            server.api.call("OperationService", "CancelOperation", name=operation.name)
            self.assertEqual(server.finish(operation).error.code, CANCELLED)
            server.await_ready()
            pool = self.assert_observed(server)
            self.assertEqual((pool.generation, pool.engine), (before.generation + 2, before.engine))
