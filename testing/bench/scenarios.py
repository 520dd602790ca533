"""What is measured. To add a scenario, add an entry to ALL (and its application to apps/).

A scenario's measure() takes the servers and returns, for each of them by name, one dictionary of figures per round. The
rounds are interleaved (A B C A B C ...), so that what disturbs the machine for a while disturbs all servers alike.
"""

import contextlib
import dataclasses
import json
import subprocess
import time
import urllib.request

import chat
import control_plane
import load
import processes
import servers
from components import Postgres

SETTLE_S = 0.3  # from the load's end until the server has closed its connections and gone back to sleep

WARM_S = 3


@dataclasses.dataclass(frozen=True)
class Settings:
    quick: bool
    rounds: int
    duration_s: int
    idle_connections: int
    directory: object  # pathlib.Path: where servers' logs go
    say: object  # called with one line of progress


@dataclasses.dataclass(frozen=True)
class Requests:
    """As many requests as wrk can send over `connections` connections."""

    name: str
    title: str
    app: str = "hello:application"
    connections: int = 64
    headers: tuple = ()
    behind_nginx: bool = False

    def accepts(self, server):
        return server.behind_nginx == self.behind_nginx and not server.suspends_max

    def measure(self, chosen, settings):
        rows = {server.name: [] for server in chosen}
        with contextlib.ExitStack() as stack:
            started = [
                stack.enter_context(servers.running(server, self.app, settings.directory)) for server in chosen
            ]
            for running in started:
                self._wrk(running, 1)  # warm: pools filled, code paged in
            for number in range(settings.rounds):
                for running in started:
                    row = self._round(running, settings.duration_s)
                    rows[running.server.name].append(row)
                    settings.say(f"{self.name} {number + 1}/{settings.rounds} {running.server.name}: "
                                 f"{row['rps']:,.0f} requests/s, {row['cpu_us']:.2f} CPU µs each")  # fmt: skip
            for running in started:
                syscalls = self._syscalls(running)
                for row in rows[running.server.name]:
                    row["syscalls"] = syscalls
        return rows

    def _wrk(self, running, seconds):
        return load.wrk(running.url + "/", self.connections, seconds, self.headers)

    def _round(self, running, seconds):
        before = processes.sample(running.pid)
        result = self._wrk(running, seconds)
        time.sleep(SETTLE_S)
        cost = processes.sample(running.pid) - before
        rss, pss = processes.memory_bytes(running.pid)
        requests = max(result.requests, 1)
        return {
            "rps": result.requests / result.seconds,
            "p50_us": result.p50_us,
            "p99_us": result.p99_us,
            "cpu_us": cost.cpu_ns / 1e3 / requests,
            "switches": cost.switches / requests,
            "rss_bytes": rss,
            "pss_bytes": pss,
            "errors": result.errors,
            "server_busy": cost.cpu_ns / 1e9 / result.seconds,
            "client_busy": result.client_busy,
            # With several threads on one CPU it is mostly each other that they wait for.
            "disturbed": cost.waiting_ns / 1e9 / result.seconds if cost.threads == 1 else None,
        }

    def _syscalls(self, running):
        counter = processes.SyscallCounter(running.pid)
        requests = self._wrk(running, 1).requests
        time.sleep(SETTLE_S)
        count = counter.stop()
        return None if count is None else count / max(requests, 1)


@dataclasses.dataclass(frozen=True)
class Idle:
    """Keep-alive connections that were each served once and then say nothing: what one costs the server's process."""

    name: str
    title: str
    app: str = "hello:application"
    busy_connections: int = 64

    def accepts(self, server):
        return server.keeps_alive and not server.suspends_max

    def measure(self, chosen, settings):
        rows = {}
        for server in chosen:
            with servers.running(server, self.app, settings.directory) as running:
                rows[server.name] = [row := self._measure(running, settings.idle_connections)]
            settings.say(f"{self.name} {server.name}: {row['first_bytes']:,.0f} bytes a connection, "
                         f"{row['open']} open")  # fmt: skip
        return rows

    def _measure(self, running, count):
        load.wrk(running.url + "/", self.busy_connections, 1)  # what a busy server holds anyway is not the idle ones'
        time.sleep(SETTLE_S)
        resident = lambda: processes.memory_bytes(running.pid)[0]  # noqa: E731
        before = resident()
        with load.IdleConnections(running.url, count) as idle:
            time.sleep(SETTLE_S)
            first, opened = resident(), idle.still_open()
        time.sleep(SETTLE_S)
        after = resident()
        with load.IdleConnections(running.url, count):
            time.sleep(SETTLE_S)
            second = resident()
        return {
            "open": opened,
            "first_bytes": (first - before) / count,  # what the first ones cost, growing pools included
            "again_bytes": (second - before) / count,  # held when as many came a second time: grows if memory leaks
            "kept_bytes": (after - before) / count,  # kept after all of them had gone
            "rss_bytes": first,
        }


@dataclasses.dataclass(frozen=True)
class Waiting(Requests):
    """Requests whose handler blocks for 100 ms, on as many connections: each server has nothing to do but to wait.

    A run is long, because wrk does not count what was on its way when it ended. Servers are measured one after the
    other, each a fresh process: what parked requests take is what its resident memory has grown by while they wait.
    """

    duration_min_s: int = 10
    rounds_max: int = 3
    few_connections: int = 16
    postgres_connections: int = 0  # 0: no PostgreSQL

    def accepts(self, server):
        return server.waiting_max >= self.connections

    def measure(self, chosen, settings):
        rows = {}
        with contextlib.ExitStack() as stack:
            environment = {}
            if self.postgres_connections:
                postgres = stack.enter_context(Postgres(self.postgres_connections))
                environment["BENCH_DSN"] = postgres.dsn
            for server in chosen:
                with servers.running(server, self.app, settings.directory, self.connections, environment) as running:
                    rows[server.name] = self._rounds(running, settings)
        return rows

    def _rounds(self, running, settings):
        parked_bytes = self._parked_bytes(running)
        seconds = settings.duration_s if settings.quick else max(settings.duration_s, self.duration_min_s)
        rows = []
        for number in range(min(settings.rounds, self.rounds_max)):
            rows.append(row := {**self._round(running, seconds), "parked_bytes": parked_bytes})
            settings.say(f"{self.name} {number + 1} {running.server.name}: {row['rps']:,.0f} requests/s, "
                         f"{row['cpu_us']:.2f} CPU µs each, {parked_bytes / 1024:,.1f} KiB parked")  # fmt: skip
        return rows

    def _parked_bytes(self, running):
        """What the first `connections` parked requests take each, beyond what a few take. Warms the server up."""
        resident = lambda: processes.memory_bytes(running.pid)[0]  # noqa: E731
        while_parked = []
        load.wrk(running.url + "/", self.few_connections, 1)
        before = resident()
        load.wrk(running.url + "/", self.connections, WARM_S)  # some servers take a second to get that many going
        load.wrk(running.url + "/", self.connections, WARM_S, halfway=lambda: while_parked.append(resident()))
        time.sleep(SETTLE_S)
        return (while_parked[0] - before) / (self.connections - self.few_connections)


@dataclasses.dataclass(frozen=True)
class Suspend:
    """uwsgi.suspend() between two requests, each of which calls it in a loop: nanoseconds a call."""

    name: str
    title: str
    app: str = "suspend:application"

    def accepts(self, server):
        return server.suspends_max > 1

    def measure(self, chosen, settings):
        rows = {server.name: [] for server in chosen}
        with contextlib.ExitStack() as stack:
            started = [
                stack.enter_context(servers.running(server, self.app, settings.directory)) for server in chosen
            ]
            for number in range(settings.rounds):
                for running in started:
                    rows[running.server.name].append(row := self._round(running))
                    settings.say(f"{self.name} {number + 1}/{settings.rounds} {running.server.name}: "
                                 f"{row['call_ns']:,.0f} ns a call")  # fmt: skip
        return rows

    def _round(self, running):
        with load.Unanswered(running.url, "/other"):
            with urllib.request.urlopen(running.url + "/measure?1", timeout=60) as answer:
                told = json.load(answer)
        if told["others"] != 1:
            raise RuntimeError(f"{running.server.name}: {told['others']} other requests were there, not one")
        return {"call_ns": told["call_ns"]}


@dataclasses.dataclass(frozen=True)
class SuspendSleep(Requests):
    """uwsgi.async_sleep() and suspend(), on as many connections as the server survives, `connections` at most."""

    connections: int = 1_000
    app: str = "suspend_sleep:application"
    duration_min_s: int = 10  # of whole seconds, which are all that uWSGI waits, a short run counts few
    rounds_max: int = 3

    def accepts(self, server):
        return server.suspends_max > 0

    def measure(self, chosen, settings):
        """Halves the connections of a peer that does not survive them; Greenring's end is the run's."""
        rows = {}
        for server in chosen:
            connections = min(self.connections, server.suspends_max)
            while server.name not in rows:
                own = dataclasses.replace(self, connections=connections)
                try:
                    rows[server.name] = own._measure(server, settings)
                except ProcessLookupError as error:
                    if server.name == servers.SUSPENDS or connections == 1:
                        raise RuntimeError(f"{self.name} {server.name}: it has ended") from error
                    settings.say(f"{self.name} {server.name}: it crashed with {connections} connections")
                    connections //= 2
            row = rows[server.name][-1]
            settings.say(f"{self.name} {server.name}: {connections} connections, {row['rps']:,.0f} requests/s, "
                         f"{row['cpu_us']:.2f} CPU µs each")  # fmt: skip
        return rows

    def _measure(self, server, settings):
        with servers.running(server, self.app, settings.directory, self.connections) as running:
            self._wrk(running, WARM_S)
            return [self._round(running, max(settings.duration_s, self.duration_min_s))
                    for _ in range(min(settings.rounds, self.rounds_max))]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FromPython:
    """What greenring's own functions cost, beside greenlet's and gevent's in a process of their own, round by round."""

    name: str
    title: str
    app: str = "go_from_python:application"

    def accepts(self, server):
        return server.name.startswith("greenring-") and not server.suspends_max

    def measure(self, chosen, settings):
        rows = {server.name: [] for server in chosen}
        with contextlib.ExitStack() as stack:
            started = [
                stack.enter_context(servers.running(server, self.app, settings.directory)) for server in chosen
            ]
            for number in range(settings.rounds):
                peers = self._peers()
                for running in started:
                    with urllib.request.urlopen(running.url + "/measure", timeout=60) as answer:
                        row = self._row(json.load(answer), peers)
                    rows[running.server.name].append(row)
                    settings.say(f"{self.name} {number + 1}/{settings.rounds} {running.server.name}: "
                                 f"yield_ {row['yield_ns']:,.0f} ns, go and join {row['go_ns']:,.0f} ns, "
                                 f"channel {row['channel_ns']:,.0f} ns")  # fmt: skip
        return rows

    def _peers(self):
        command = ["/usr/bin/python3.11", servers.APPS / f"{self.app.partition(':')[0]}.py"]
        done = subprocess.run(command, capture_output=True, text=True, check=True,
                              preexec_fn=processes.pin(processes.SERVER_CPU))  # fmt: skip
        return json.loads(done.stdout)

    @staticmethod
    def _row(ours, peers):
        """Ours in nanoseconds; the peers' as multiples of ours."""
        row = {f"{name}_ns": value for name, value in ours.items()}
        for peer, name in (("greenlet_switch", "yield"), ("gevent_sleep", "yield"), ("greenlet_run", "go"),
                           ("gevent_spawn", "go"), ("gevent_channel", "channel")):  # fmt: skip
            row[peer] = peers[peer] / ours[name]
        return row


@dataclasses.dataclass(frozen=True)
class Spinners(Requests):
    """Requests one at a time on one connection, beside `spinners` handlers that compute: how long one takes.

    The median and the 99th percentile count, and how many were answered at all; CPU time and rates mean nothing here.
    """

    connections: int = 1
    spinners: int = 4
    duration_s: int = 4  # within what the handlers compute for

    def accepts(self, server):
        is_made_for_one = server.name.startswith("raw") or server.name.endswith("-sync")
        return not is_made_for_one and not server.behind_nginx and not server.suspends_max

    def measure(self, chosen, settings):
        rows = {}
        for server in chosen:
            with servers.running(server, self.app, settings.directory) as running:
                rows[server.name] = [row := self._beside_spinners(running)]
            settings.say(f"{self.name} {server.name}: {row['answered']} answered in {self.duration_s} s")
        return rows

    def _beside_spinners(self, running):
        self._wrk(running, 1)
        with contextlib.ExitStack() as stack:
            for _ in range(self.spinners):
                stack.enter_context(load.Unanswered(running.url, "/spin"))
            time.sleep(SETTLE_S)
            result = self._wrk(running, self.duration_s)
        return {
            "p50_us": result.p50_us if result.requests > 0 else None,
            "p99_us": result.p99_us if result.requests > 0 else None,
            "answered": result.requests,
            "errors": result.errors,
        }


ALL = (
    Requests("hello", "Hello world, keep-alive, 64 connections"),
    Requests("hello-close", "Hello world, one connection per request, 64 at a time", headers=("Connection: close",)),
    Requests("nginx", "Hello world, the uwsgi protocol behind nginx, 64 connections", behind_nginx=True),
    Idle("idle", "Idle keep-alive connections"),
    Spinners("spinners", "Hello world, one connection, beside 4 handlers that compute", app="spin:application"),
    Waiting("sleep", "time.sleep(0.1), 1,000 connections", app="sleep:application", connections=1_000),
    Waiting("sleep-10000", "time.sleep(0.1), 10,000 connections", app="sleep:application", connections=10_000),
    Waiting(
        "psycopg2", "psycopg2: select pg_sleep(0.1), 1,000 connections", app="query:application", connections=1_000,
        postgres_connections=1_400,  # those of the server before may still be closing
    ),
    Suspend("suspend", "uwsgi.suspend() between two requests"),
    SuspendSleep("suspend-sleep", "uwsgi.async_sleep() and suspend(), on as many of 1,000 connections as are survived"),
    *chat.ALL,
    FromPython("go", "Go from Python: nanoseconds each, and how many times that its peers take"),
    *control_plane.ALL,
)
