"""Several applications in one server: each pool with its own address, engine, statistics and health."""

import http.client

import grpc

from fixture import APPS, eventually
from master import MasterCase
from wire import Connection

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3

CONFIGURATION = f"""
pools:
  - name: green
    application:
      target: live_app
      working_directory: {APPS}
      environment: {{LIVE_APP_NAME: the green one}}
    listeners: [{{address: "127.0.0.1:0"}}]
    engine: FCONTEXT
    stack_size_bytes: 128KiB
    async_cores: 16
  - name: threads
    application:
      target: os_thread_app
      working_directory: {APPS}
    listeners: [{{address: "127.0.0.1:0"}}]
    engine: THREAD
    async_cores: 8
    workers: 2
"""


class SeveralPools(MasterCase):
    def server(self):
        return self.master(config=self.path("greenring.yaml", CONFIGURATION))

    def addresses(self, server):
        """By what answers there: it is not said which address is whose when all were given as port 0."""
        found = {}
        for address in server.listeners:
            status, body = self.get(address, "/who")
            self.assertEqual(status, 200)
            found["threads" if body == b"hello" else "green"] = address
        self.assertEqual(set(found), {"green", "threads"})
        return found

    def ask_unix(self, path):
        with Connection(path) as connection:
            return connection.get("/who").text

    def get(self, address, target="/"):
        connection = http.client.HTTPConnection(*address, timeout=20)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def health(self, server, service):
        try:
            return server.api.call("grpc.health.v1.Health", "Check", service=service).status
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.NOT_FOUND)
            return SERVICE_UNKNOWN

    def test_each_serves_its_own_application_as_it_was_told_to(self):
        with self.server() as server:
            addresses = self.addresses(server)
            told = server.who(addresses["green"])
            self.assertEqual((told["green"], told["stack_size"], told["name"]), (True, 128 * 1024, "the green one"))
            status, body = self.get(addresses["threads"], "/identity")
            self.assertEqual(status, 200)
            self.assertIn(b'"green": false', body)
            for name in ("green", "threads"):
                self.assert_observed(server, name)
            self.assertEqual((len(server.workers("green")), len(server.workers("threads"))), (1, 2))

    def test_each_has_its_own_statistics(self):
        with self.server() as server:
            addresses = self.addresses(server)
            eventually(lambda: sum(server.statistics(name).requests for name in addresses) == 2, "the first requests")
            before = {name: server.statistics(name).requests for name in addresses}
            for name, count in (("green", 30), ("threads", 20)):
                for _ in range(count):
                    self.assertEqual(self.get(addresses[name])[0], 200)
            wanted = {"green": before["green"] + 30, "threads": before["threads"] + 20}
            eventually(lambda: {name: server.statistics(name).requests for name in wanted} == wanted, wanted)
            self.assertEqual(server.statistics("green").responses_by_status[200], wanted["green"])

    def test_each_is_changed_and_drained_without_the_other(self):
        with self.server() as server:
            addresses = self.addresses(server)
            pids = [one.pid for one in server.workers("threads")]
            self.assert_done(server, server.update("green", engine="UCONTEXT", workers=2))
            self.assertEqual([self.health(server, name) for name in ("", "pools/green", "pools/threads")], [SERVING] * 3)
            self.assert_done(server, server.change("DrainPool", "green"))
            self.assertEqual([self.health(server, name) for name in ("", "pools/green", "pools/threads")],
                             [SERVING, NOT_SERVING, SERVING], "what is drained on purpose does not count")
            self.assertEqual(self.get(addresses["threads"]), (200, b"hello"))
            self.assert_done(server, server.change("ResumePool", "green"))
            self.assertEqual(self.health(server, "pools/green"), SERVING)
            self.assertEqual(server.who(addresses["green"])["stack_size"], 128 * 1024)
            pool = self.assert_observed(server, "threads")
            self.assertEqual((pool.generation, [one.pid for one in server.workers("threads")]), (1, pids))

    def test_a_third_comes_and_goes_over_the_api(self):
        with self.server() as server:
            socket_path = self.path("third.sock")
            created = server.api.call("PoolService", "CreatePool", poolId="third", pool={
                "application": {"target": "live_app", "workingDirectory": APPS,
                                "environment": {"LIVE_APP_NAME": "the third"}},
                "listeners": [{"address": f"unix:{socket_path}"}]})
            self.assert_done(server, created)
            self.assert_observed(server, "third")
            self.assertEqual(self.health(server, "pools/third"), SERVING)
            self.assertIn("the third", self.ask_unix(socket_path))
            self.assertEqual([one.name for one in server.api.call("PoolService", "ListPools").pools],
                             ["pools/green", "pools/third", "pools/threads"])
            server.finish(server.change("DeletePool", "third"))
            with self.assertRaises(grpc.RpcError) as caught:
                server.pool("third")
            self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
            self.assertNotEqual(self.health(server, "pools/third"), SERVING)
            with self.assertRaises(OSError):
                self.ask_unix(socket_path)
            self.assertEqual(self.health(server, ""), SERVING)

    def test_the_health_of_what_never_was_there_is_not_found(self):
        with self.server() as server:
            self.assertEqual(self.health(server, "pools/nope"), SERVICE_UNKNOWN)

    def test_one_that_cannot_be_started_does_not_touch_the_others(self):
        with self.server() as server:
            addresses = self.addresses(server)
            created = server.api.call("PoolService", "CreatePool", poolId="broken", pool={
                "application": {"target": "no_such_module", "workingDirectory": APPS},
                "listeners": [{"address": "127.0.0.1:0"}]})
            ended = server.finish(created)
            self.assertNotEqual(ended.error.code, 0)
            self.assertIn("no_such_module", ended.error.message)
            status = server.pool("broken").status
            self.assertEqual(status.State.Name(status.state), "START_FAILED")
            self.assertIn("no_such_module", status.message)
            self.assertEqual(self.health(server, "pools/broken"), NOT_SERVING)
            self.assertEqual(self.get(addresses["threads"]), (200, b"hello"))
            server.finish(server.change("DeletePool", "broken"))
            self.assertEqual(self.health(server, ""), SERVING)
