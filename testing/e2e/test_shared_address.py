"""Pools that share an address: each request goes to the pool whose route takes it, whichever worker accepted it."""

import hashlib
import json
import os
import signal
import socket
import threading

from fixture import APPS, eventually
from master import MasterCase
from wire import chunked, request_bytes
from wrk import Wrk

TIMES = 12  # a connection each: with two workers of each of two pools all have had one, but for once in ten runs


def free_port():
    """Nobody has it now. Port 0 is another one for each pool, so pools that share one must name it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SharedAddress(MasterCase):
    def setUp(self):
        super().setUp()
        self.listeners = [{"address": f"127.0.0.1:{free_port()}"}]

    def pool_of(self, name, *routes, workers=2):
        """As in the JSON form of a pool. A route: "/path", "host" or "host/path"."""
        pool = {"application": {"target": "shared_app", "workingDirectory": APPS,
                                "environment": {"SHARED_APP_NAME": name}},
                "listeners": self.listeners, "workers": workers, "asyncCores": 16, "routes": []}
        for route in routes:
            host, slash, path = route.partition("/")
            pool["routes"].append({"host": host, "pathPrefix": slash + path})
        return pool

    def server(self, **pools):
        """A pool for each keyword, with these routes."""
        lines = ["pools:"]
        for name, routes in pools.items():
            pool = self.pool_of(name, *routes)
            lines += [f"- name: {name}",
                      f"  application: {{target: shared_app, working_directory: {APPS}, "
                      f"environment: {{SHARED_APP_NAME: {name}}}}}",
                      f"  listeners: {json.dumps(self.listeners)}", "  workers: 2", "  async_cores: 16"]
            if routes:
                lines.append("  routes:")
                lines += [f"  - {{host: {json.dumps(one['host'])}, path_prefix: {json.dumps(one['pathPrefix'])}}}"
                          for one in pool["routes"]]
        return self.master(config=self.path("greenring.yaml", "\n".join(lines) + "\n"))

    def create(self, server, name, *routes, **options):
        return server.api.call("PoolService", "CreatePool", poolId=name, pool=self.pool_of(name, *routes, **options))

    def told(self, response):
        """(name, SCRIPT_NAME, PATH_INFO), or the status of what is not 200."""
        if response.status != 200:
            return response.status
        told = json.loads(response.body)
        return told["name"], told["script"], told["path"]

    def ask(self, server, target="/", host="test"):
        with server.connect() as connection:
            return self.told(connection.get(target, {"Host": host}))

    def assert_told(self, server, expected, **options):
        """Over and over: so that workers of all pools accept."""
        for _ in range(TIMES):
            self.assertEqual({target: self.ask(server, target, **options) for target in expected}, expected)

    def test_by_path(self):
        with self.server(web=(), api=("/api", "/static/api")) as server:
            self.assertEqual(len(server.listeners), 1, "an address is said once")
            self.assert_told(server, {
                "/": ("web", "", "/"), "/api": ("api", "/api", ""), "/api/": ("api", "/api", "/"),
                "/api/v1?x=/": ("api", "/api", "/v1"), "/apix": ("web", "", "/apix"),
                "/%61pi/%20": ("api", "/api", "/ "), "/static/api/a": ("api", "/static/api", "/a"),
                "/static/": ("web", "", "/static/")})

    def test_by_host(self):
        with self.server(web=(), shop=("shop.example.com", "*.shop.example.com")) as server:
            self.assert_told(server, {"/a": ("shop", "", "/a")}, host="Shop.Example.com:8080")
            self.assert_told(server, {"/a": ("shop", "", "/a")}, host="eu.shop.example.com")
            self.assert_told(server, {"/a": ("web", "", "/a")}, host="example.com")

    def test_a_host_wins_over_a_path(self):
        with self.server(api=("/api",), shop=("shop.example.com",), both=("shop.example.com/api/v2",)) as server:
            self.assert_told(server, {"/api/v2": ("api", "/api", "/v2"), "/": 404})
            self.assert_told(server, {"/api/v1": ("shop", "", "/api/v1"), "/api/v2/x": ("both", "/api/v2", "/x")},
                             host="shop.example.com")

    def test_what_nobody_takes_is_not_found_also_by_a_pool_alone(self):
        with self.server(api=("/api",)) as server:
            self.assertEqual([self.ask(server, path) for path in ("/", "/api", "/ap")], [404, ("api", "/api", ""), 404])
            self.assert_done(server, server.update("api", routes=[{"host": "api"}]))
            self.assertEqual([self.ask(server, "/api"), self.ask(server, "/api", "api")], [404, ("api", "", "/api")])
            self.assert_done(server, server.update("api", mask="routes"))
            self.assertEqual(self.ask(server, "/"), ("api", "", "/"))

    def test_requests_of_one_connection_go_to_their_pools_in_turn(self):
        with self.server(web=(), api=("/api",), b=("/b",)) as server:
            for _ in range(TIMES):
                with server.connect() as connection:
                    for target, name in (("/", "web"), ("/api", "api"), ("/api", "api"), ("/b", "b"), ("/", "web"),
                                         ("/b", "b"), ("/api", "api")):
                        told = json.loads(connection.get(target).body)
                        self.assertEqual((told["name"], told["peer"]),
                                         (name, str(connection.socket.getsockname()[1])))

    def test_pipelined_requests_are_answered_in_order_whoever_answers(self):
        order = ["web", "api", "web", "web", "api", "api", "web", "api"] * 4
        with self.server(web=(), api=("/api",)) as server:
            for _ in range(TIMES):
                with server.connect() as connection:
                    connection.send(b"".join(request_bytes("POST", "/api" if name == "api" else "/", body=b"%d" % index)
                                             for index, name in enumerate(order)))
                    for index, name in enumerate(order):
                        told = json.loads(connection.read_response().body)
                        self.assertEqual((told["name"], told["body"][1]),
                                         (name, hashlib.sha256(b"%d" % index).hexdigest()))

    def test_bodies_arrive_whole(self):
        bodies = [b"", b"small", os.urandom(40_000), os.urandom(1 << 20)]
        with self.server(web=(), api=("/api",)) as server:
            for _ in range(TIMES // 2):
                with server.connect() as connection:
                    for target in ("/api", "/", "/api"):
                        for body in bodies:
                            told = json.loads(connection.post(target, body).body)
                            self.assertEqual(told["body"], [len(body), hashlib.sha256(body).hexdigest()])
                    connection.send_request("POST", "/api", {"Transfer-Encoding": "chunked"}, chunked(*bodies[1:]))
                    told = json.loads(connection.read_response().body)
                    whole = b"".join(bodies)
                    self.assertEqual(told["body"], [len(whole), hashlib.sha256(whole).hexdigest()])

    def test_a_unix_socket_is_shared_too(self):
        self.listeners = [{"address": f"unix:{self.path('shared.sock')}"}]
        with self.server(web=(), api=("/api",)) as server:
            self.assert_told(server, {"/": ("web", "", "/"), "/api/a": ("api", "/api", "/a")})
            server.finish(server.change("DeletePool", "api"))
            self.assert_told(server, {"/api/a": ("web", "", "/api/a")})

    def test_requests_of_a_drained_pool_wait_and_others_do_not(self):
        with self.server(web=(), api=("/api",)) as server:
            self.assert_done(server, server.change("DrainPool", "api"))
            waiting = [server.connect() for _ in range(10)]
            for connection in waiting:
                self.addCleanup(connection.close)
                connection.send_request(target="/api/a")
            self.assert_told(server, {"/": ("web", "", "/")})
            self.assertFalse(any(connection.has_buffered_bytes() for connection in waiting))
            server.finish(server.change("ResumePool", "api"))
            for connection in waiting:
                self.assertEqual(self.told(connection.read_response()), ("api", "/api", "/a"))

    def test_a_pool_comes_changes_and_goes_and_no_request_of_the_other_is_lost(self):
        with self.server(web=()) as server:
            with Wrk(server.port, connections=4) as kept, Wrk(server.port, "/x", connections=4, close=True) as closed:
                for _ in range(3):
                    self.assert_done(server, self.create(server, "api", "/api"))
                    self.assertEqual(self.ask(server, "/api/a"), ("api", "/api", "/a"))
                    self.assert_done(server, server.update("api", routes=[{"pathPrefix": "/v2"}]))
                    eventually(lambda: self.ask(server, "/v2/a") == ("api", "/v2", "/a"), "the new route")
                    eventually(lambda: self.ask(server, "/api/a") == ("web", "", "/api/a"), "the old one to go")
                    self.assert_done(server, server.change("DrainPool", "api"))
                    server.finish(server.change("ResumePool", "api"))
                    self.assertEqual(self.ask(server, "/v2/a"), ("api", "/v2", "/a"))
                    server.finish(server.change("DeletePool", "api"))
                    self.assertEqual(self.ask(server, "/v2/a"), ("web", "", "/v2/a"))
            self.assertEqual((kept.failures, closed.failures), ({}, {}))
            self.assertGreater(min(kept.requests, closed.requests), 100)

    def test_both_pools_under_load_while_one_is_scaled_and_reloaded(self):
        with self.server(web=(), api=("/api",)) as server:
            with Wrk(server.port, connections=4, close=True) as web, Wrk(server.port, "/api", connections=4) as api:
                self.assert_done(server, server.update("api", workers=3))
                self.assert_done(server, server.change("ReloadPool", "api"))
                self.assert_done(server, server.update("api", workers=1))
                self.assert_done(server, server.change("ReloadPool", "web"))
                server.await_more_requests(100, "api")
            self.assertEqual((web.failures, api.failures), ({}, {}))

    def test_a_killed_worker_takes_only_its_own_requests_along(self):
        with self.server(web=(), api=("/api",)) as server:
            for name, target in (("web", "/"), ("api", "/api")):
                stop, failures, served = threading.Event(), [], []

                def load(path=target):
                    while not stop.is_set():
                        try:
                            with server.connect() as connection:
                                served.append(self.told(connection.get(path)))
                        except (OSError, AssertionError) as error:
                            failures.append(repr(error))

                clients = [threading.Thread(target=load, daemon=True) for _ in range(4)]
                for client in clients:
                    client.start()
                for pool in ("web", "api"):
                    wanted = len(served) + 50
                    eventually(lambda w=wanted: len(served) >= w, "answers")
                    victim = server.workers(pool)[0].pid
                    os.kill(victim, signal.SIGKILL)
                    eventually(lambda v=victim, p=pool: v not in [one.pid for one in server.workers(p)] and
                               server.pool(p).status.workers_ready == 2, "another worker")
                wanted = len(served) + 50
                eventually(lambda w=wanted: len(served) >= w, "answers")
                stop.set()
                for client in clients:
                    client.join(30)
                self.assertLessEqual(len(failures), 2 * 4, failures)
                self.assertEqual({one[0] for one in served}, {name})
            server.log.expect("signal 9")

    def test_a_flag_gives_the_only_pool_its_routes(self):
        with self.master("--route=/app", "--route=example.com/b", app="environ_app") as server:
            with server.connect() as connection:
                told = json.loads(connection.get("/app/x").body)
                self.assertEqual((told["SCRIPT_NAME"][1], told["PATH_INFO"][1]), ("/app", "/x"))
                self.assertEqual(connection.get("/b", {"Host": "example.com"}).status, 200)
            with server.connect() as connection:
                self.assertEqual(connection.get("/b").status, 404)
