"""A whole server: master, workers and API, each test with its own.

    class Scaling(MasterCase):
        def test_more(self):
            with self.master("--workers=1") as server:
                self.assert_done(server, server.update(workers=3))

What is asked goes through `reflection.Api`: a client that is not made of the server's code.
"""

import http.client
import json
import os
import shutil
import tempfile
import unittest

from components.reflection import Api
from fixture import APPS, Server, eventually, server_binary

# What a master and its workers say when all is well; errors and tracebacks are none of it.
USUAL = (r"^greenring: ", r"^\d{4}-\d\d-\d\d \S+ \[\d+\] [^:]+: draining$")


class Master(Server):
    """`directory` has the API's socket. `config`: a file that says what the pools are, instead of `app` and its flags."""

    def __init__(self, directory, app="live_app", *flags, config=None, usual=(), **options):
        super().__init__(app, *flags, master="on", usual=(*USUAL, *usual), **options)
        if config:
            self.command = [server_binary(), f"--config={config}", *flags]
        self.socket = os.path.join(directory, "api.sock")
        self.command.append(f"--control=unix:{self.socket}")
        self.api = None

    def start(self):
        super().start()
        self.api = Api(f"unix:{self.socket}")
        return self

    def wait(self, *arguments, **options):
        """For the process's end."""
        if self.api:
            self.api.close()
        return super().wait(*arguments, **options)

    def environment(self):
        """For greenctl."""
        return {**os.environ, "GREENRING_CONTROL": f"unix:{self.socket}", "LC_ALL": "C.UTF-8"}

    # The API, in a line each

    def pool(self, name="web"):
        return self.api.call("PoolService", "GetPool", name=f"pools/{name}")

    def update(self, pool="web", canary=None, mask=None, **fields):
        """The operation. `fields` as in the JSON form of a pool."""
        request = {"pool": {"name": f"pools/{pool}", **fields}, "updateMask": mask or ",".join(fields)}
        if canary:
            request["canary"] = canary
        return self.api.call("PoolService", "UpdatePool", **request)

    def change(self, method, pool="web", **fields):
        """The operation of ReloadPool, DrainPool, ResumePool or DeletePool."""
        return self.api.call("PoolService", method, name=f"pools/{pool}", **fields)

    def finish(self, operation):
        return self.api.call("OperationService", "WaitOperation", name=operation.name)

    def workers(self, pool="web", ended=False):
        return list(self.api.call("WorkerService", "ListWorkers", parent=f"pools/{pool}", showEnded=ended).workers)

    def requests(self, parent="pools/-/workers/-"):
        return list(self.api.call("RequestService", "ListRequests", parent=parent).requests)

    def statistics(self, pool="web"):
        return self.api.call("ServerService", "ListStatistics", pools=[f"pools/{pool}"]).pools[0].total

    def await_more_requests(self, count=100, pool="web"):
        """Workers tell what they have served once a second."""
        wanted = self.statistics(pool).requests + count
        eventually(lambda: self.statistics(pool).requests >= wanted, f"{count} more requests to be counted")

    def await_ready(self, pool="web"):
        def ready():
            status = self.pool(pool).status
            return status.State.Name(status.state) == "READY"
        eventually(ready, f"pools/{pool} to be ready")

    def events(self, kind):
        """Those of a kind so far, oldest first."""
        watch = self.api.stream("ServerService", "Watch", afterEvent="-1", statisticsInterval="0.1s")
        found = []
        for one in watch:
            if one.HasField("statistics"):  # comes after what has happened
                break
            if one.event.Kind.Name(one.event.kind) == kind:
                found.append(one.event)
        watch.cancel()
        return found

    # The application

    def who(self, address=None):
        """What /who says, on a connection of its own."""
        host, port = address or self.address
        connection = http.client.HTTPConnection(host, port, timeout=30)
        try:
            connection.request("GET", "/who")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


class MasterCase(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="greenring-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, name, content=None):
        """Of a file in the test's directory, with this content if any."""
        path = os.path.join(self.directory, name)
        if content is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
        return path

    def master(self, *flags, app="live_app", **options):
        """A server for a `with` block: it starts there, and is drained at the block's end."""
        return Master(self.directory, app, *flags, **options)

    def assert_done(self, server, operation):
        """Waits for the operation, and asserts that it ended as it should, on every worker and core. Returns it."""
        ended = server.finish(operation)
        self.assertTrue(ended.done, ended)
        self.assertEqual(ended.error.code, 0, ended.error.message)
        self.assertEqual((ended.workers_done, ended.cores_done), (ended.workers_total, ended.cores_total), ended)
        return ended

    def assert_observed(self, server, name="web"):
        """Every ready worker runs what is desired; and soon, when others have drained, nothing else runs. The pool."""
        pool = server.pool(name)
        self.assertEqual(pool.status.State.Name(pool.status.state), "READY", pool.status.message)
        self.assertEqual(pool.status.observed_generation, pool.generation)
        self.assertEqual(pool.status.workers_ready, pool.workers)
        eventually(lambda: [(one.generation, one.workers) for one in server.pool(name).status.generations] ==
                   [(pool.generation, pool.workers)], f"nothing but generation {pool.generation} to run")
        return pool
