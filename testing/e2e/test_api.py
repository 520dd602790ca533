"""The control API of a whole server, by a client that knows only what reflection tells it; and the metrics listener."""

import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import unittest

import grpc

from components.reflection import PACKAGE, Api, violations
from fixture import APPS, Server, eventually, run_to_exit

USUAL = (r"^greenring: ", r"\] (drain|reload|the server stops): draining$")
NOBODY = 65534


class ApiCase(unittest.TestCase):
    """One server for the tests of a class: two workers, its API on a unix socket of its own, and metrics."""

    flags = ()

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.socket = os.path.join(directory.name, "api.sock")
        cls.busy = os.path.join(directory.name, "revision")
        with open(cls.busy, "w", encoding="utf-8") as file:
            file.write("1")
        cls.server = Server("supervised_app", "--workers=2", "--async_cores=8", f"--control=unix:{cls.socket}",
                            "--metrics=127.0.0.1:0", *cls.flags, usual=USUAL, master="on",
                            env={"GREENRING_TEST_REVISION": cls.busy}).start()
        cls.addClassCleanup(lambda: cls.server.process.poll() is None and cls.server.kill())
        cls.api = Api(f"unix:{cls.socket}")
        cls.addClassCleanup(cls.api.close)
        cls.pool_name = cls.api.call("PoolService", "ListPools").pools[0].name

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def pool(self):
        return self.api.call("PoolService", "GetPool", name=self.pool_name)

    def done(self, operation):
        ended = self.api.wait(operation)
        self.assertTrue(ended.done)
        self.assertEqual(ended.error.code, 0, ended.error.message)
        return ended

    def refusal(self, service, method, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            self.api.call(service, method, **fields)
        return caught.exception

    def get(self, path):
        """(status, body) from the metrics listener."""
        address = self.api.call("ServerService", "GetServer").metrics_address
        connection = http.client.HTTPConnection(address, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def begin_sleep(self):
        """A request that sleeps for 60 s, seen to have begun; its thread, and where its status will be."""
        status = []

        def ask():
            with self.server.connect() as connection:
                status.append(connection.get("/sleep?60").status)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        eventually(lambda: os.path.exists(self.busy + ".busy"), "the request to begin")
        os.unlink(self.busy + ".busy")
        return thread, status


class Control(ApiCase):
    def test_reflection_describes_every_service(self):
        services = self.api.services()
        for name in ("PoolService", "WorkerService", "RequestService", "OperationService", "ServerService"):
            self.assertIn(f"{PACKAGE}.{name}", services)
        self.assertIn("grpc.health.v1.Health", services)

    def test_a_pool_says_what_is_desired_and_what_runs(self):
        pool = self.pool()
        self.assertEqual(pool.workers, 2)
        self.assertEqual(pool.status.workers_ready, 2)
        self.assertEqual(pool.status.observed_generation, pool.generation)
        self.assertTrue(pool.etag)

    def test_a_change_is_an_operation_that_ends_when_every_core_runs_it(self):
        operation = self.api.call("PoolService", "UpdatePool", updateMask="asyncCores",
                                  pool={"name": self.pool_name, "asyncCores": 12})
        ended = self.done(operation)
        self.assertEqual((ended.workers_done, ended.workers_total), (2, 2))
        pool = self.pool()
        self.assertEqual(pool.async_cores, 12)
        self.assertEqual([(one.generation, one.workers) for one in pool.status.generations], [(pool.generation, 2)])
        self.server.log.expect(rf"UpdatePool {self.pool_name}: OK, {operation.name}$")

    def test_a_stale_etag_is_aborted(self):
        error = self.refusal("PoolService", "UpdatePool", updateMask="asyncCores",
                             pool={"name": self.pool_name, "asyncCores": 9, "etag": "an old one"})
        self.assertEqual(error.code(), grpc.StatusCode.ABORTED)

    def test_bad_input_names_its_fields(self):
        error = self.refusal("PoolService", "UpdatePool", updateMask="workers,asyncCores",
                             pool={"name": self.pool_name, "workers": 5000, "asyncCores": -1})
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual({field.split(".")[-1] for field in violations(error)}, {"workers", "async_cores"})
        error = self.refusal("PoolService", "GetPool", name="web")
        self.assertIn("pools/{pool}", violations(error)["name"])

    def test_a_request_in_flight_is_seen_dumped_and_cancelled(self):
        thread, status = self.begin_sleep()
        requests = self.api.call("RequestService", "ListRequests", parent="pools/-/workers/-").requests
        self.assertEqual([one.target for one in requests], ["/sleep?60"])
        stack = self.api.call("RequestService", "GetStack", name=requests[0].name)
        self.assertRegex(stack.python, r'supervised_app\.py", line \d+, in application')
        self.api.call("RequestService", "CancelRequest", name=requests[0].name, reason="too slow")
        thread.join(20)
        self.assertEqual(status, [503])
        self.assertEqual(self.refusal("RequestService", "GetStack", name=requests[0].name).code(),
                         grpc.StatusCode.NOT_FOUND)

    def test_a_watcher_sees_a_reload_and_statistics(self):
        watch = self.api.stream("ServerService", "Watch", statisticsInterval="0.1s")
        self.addCleanup(watch.cancel)
        next(watch)  # it watches
        operation = self.api.call("PoolService", "ReloadPool", name=self.pool_name)
        kinds, statistics = [], 0
        for one in watch:
            statistics += one.HasField("statistics")
            if one.HasField("event"):
                kinds.append((one.event.resource == operation.name, one.event.kind))
            if (True, 21) in kinds and statistics > 1:  # OPERATION_DONE
                break
        self.assertEqual(kinds.count((False, 11)), 2, "WORKER_READY")

    def test_the_caller_is_in_the_log(self):
        self.done(self.api.call("PoolService", "ReloadPool", name=self.pool_name))
        self.server.log.expect(rf"uid {os.getuid()} \(\w+\), pid {os.getpid()}: ReloadPool {self.pool_name}: OK")

    def test_a_second_server_is_told_who_has_the_socket(self):
        status, _, stderr = run_to_exit("--app=supervised_app", f"--chdir={APPS}", "--http=127.0.0.1:0",
                                        f"--control=unix:{self.socket}")
        self.assertNotEqual(status, 0)
        self.assertIn(f"the process {self.server.pid} listens on {self.socket}", stderr)
        self.assertIn("--control=unix:", stderr)
        self.assertEqual(self.pool().status.workers_ready, 2)


@unittest.skipUnless(os.geteuid() == 0, "only root can be another user")
class OtherUsers(ApiCase):
    def connect_as(self, uid):
        """What a process of that user reads from the socket after connecting."""
        program = ("import os, socket, sys; os.setuid(int(sys.argv[1])); s = socket.socket(socket.AF_UNIX);"
                   "s.settimeout(20); s.connect(sys.argv[2]); s.send(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n');"
                   "print(len(s.recv(100)))")
        return subprocess.run([sys.executable, "-c", program, str(uid), self.socket], capture_output=True, text=True,
                              timeout=60, check=False)

    def test_the_file_is_closed_to_them(self):
        os.chmod(os.path.dirname(self.socket), 0o755)
        self.assertIn("PermissionError", self.connect_as(NOBODY).stderr)

    def test_the_kernel_is_asked_who_they_are(self):
        os.chmod(os.path.dirname(self.socket), 0o755)
        os.chmod(self.socket, 0o666)
        self.addCleanup(os.chmod, self.socket, 0o600)
        refused = self.connect_as(NOBODY)
        self.assertRegex(refused.stdout + refused.stderr, r"^0$|ConnectionResetError|BrokenPipeError")
        self.server.log.expect(rf"refused a connection from uid {NOBODY}, pid \d+")
        self.assertGreater(int(self.connect_as(0).stdout), 0, "root is let in")


class Metrics(ApiCase):
    def samples(self):
        status, text = self.get("/metrics")
        self.assertEqual(status, 200)
        found = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                match = re.fullmatch(r"([a-z_]+)(\{.*\})? (\S+)", line)
                self.assertTrue(match, line)
                found[match[1] + (match[2] or "")] = float(match[3])
        return found

    def total(self, name):
        return sum(value for key, value in self.samples().items() if key.split("{")[0] == name)

    def test_requests_of_all_workers_are_counted_and_stay_counted_when_workers_die(self):
        before = self.total("greenring_requests_total")
        for _ in range(40):
            with self.server.connect() as connection:
                self.assertEqual(connection.get("/").status, 200)
        eventually(lambda: self.total("greenring_requests_total") == before + 40, "40 requests to be counted")
        self.assertEqual(self.total("greenring_run_time_seconds_count"), before + 40)
        worker = self.api.call("WorkerService", "ListWorkers", parent=self.pool_name).workers[0]
        os.kill(worker.pid, 9)
        eventually(lambda: self.total("greenring_worker_restarts_total") >= 1, "the death to be counted")
        self.assertGreaterEqual(self.total("greenring_requests_total"), before + 40)
        eventually(lambda: self.pool().status.workers_ready == 2, "a worker in its place")

    def test_liveness_and_readiness(self):
        self.assertEqual(self.get("/livez")[0], 200)
        eventually(lambda: self.get("/readyz")[0] == 200, "the pool to be ready")
        self.done(self.api.call("PoolService", "DrainPool", name=self.pool_name))
        status, text = self.get("/readyz")
        self.assertEqual(status, 503)
        self.assertIn("DRAINED", text)
        self.assertEqual(self.get("/livez")[0], 200)
        self.done(self.api.call("PoolService", "ResumePool", name=self.pool_name))
        self.assertEqual(self.get(f"/readyz?pool={self.pool_name.split('/')[1]}")[0], 200)


if __name__ == "__main__":
    unittest.main()
