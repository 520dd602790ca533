"""Greenring's budgets, checked against what was just measured. To add one, add a Target to ALL."""

import dataclasses

import servers


@dataclasses.dataclass(frozen=True)
class Target:
    name: str
    bound: float
    unit: str
    measured: object  # called with the Results; None when the run did not measure it
    at_least: bool = False  # the bound is the least, not the most

    @property
    def limit(self):
        return f"{'at least' if self.at_least else 'at most'} {self.bound:,g} {self.unit}".rstrip()

    def is_met(self, value):
        return value >= self.bound if self.at_least else value <= self.bound


@dataclasses.dataclass(frozen=True)
class Results:
    scenarios: dict  # scenario -> server -> figure -> median
    micro: dict  # (benchmark, engine) -> figure

    def of(self, scenario, server, figure):
        return self.scenarios.get(scenario, {}).get(server, {}).get(figure)

    def default(self, scenario, figure):
        return self.of(scenario, servers.DEFAULT, figure)

    def worst(self, benchmark, figure):
        """Of both engines."""
        values = [row[figure] for (name, _), row in self.micro.items() if name == benchmark and figure in row]
        return max(values, default=None)


def _cpu_against(scenario, peer, peer_scenario=None):
    """Greenring's CPU per request, divided by the peer's (or by Greenring's own in another scenario)."""
    def ratio(results):
        ours = results.default(scenario, "cpu_us")
        theirs = results.of(peer_scenario or scenario, peer, "cpu_us")
        return ours / theirs if ours and theirs else None
    return ratio


def _between(scenario, ours, peer, figure="cpu_us"):
    def ratio(results):
        of_ours, of_peer = (results.of(scenario, name, figure) for name in (ours, peer))
        return of_ours / of_peer if of_ours and of_peer else None
    return ratio


UGREEN = "uwsgi-ugreen-suspend"

ALL = (
    Target("hello: CPU against the raw responder", 1.35, "x", lambda r: r.default("hello", "cpu_ratio")),
    Target("hello: system calls a request", 0.2, "", lambda r: r.default("hello", "syscalls")),
    Target("hello-close: CPU against uWSGI's sync worker", 1.0, "x", _cpu_against("hello-close", "uwsgi-sync")),
    Target(
        "nginx: CPU of the uwsgi protocol against uWSGI's sync worker", 1.0, "x",
        _between("nginx", "nginx-greenring", "nginx-uwsgi-sync"),
    ),
    Target("suspend: a call against uGreen's", 1 / 4, "x", _between("suspend", servers.SUSPENDS, UGREEN, "call_ns")),
    Target(
        "suspend-sleep: CPU against uGreen's", 1 / 2, "x",
        _between("suspend-sleep", servers.SUSPENDS, UGREEN, "cpu_us"),
    ),
    Target("idle: resident bytes a connection", 512, "B", lambda r: r.default("idle", "first_bytes")),
    Target("spinners: p99 beside four that compute", 25_000, "µs", lambda r: r.default("spinners", "p99_us")),
    Target("sleep: requests a second, of 10,000", 9_800, "", lambda r: r.default("sleep", "rps"), at_least=True),
    Target("sleep: CPU against gunicorn's gevent worker", 1 / 5, "x", _cpu_against("sleep", "gunicorn-gevent")),
    Target("sleep: CPU against uWSGI's threads", 1 / 2, "x", _cpu_against("sleep", "uwsgi-threads")),
    Target(
        "sleep: CPU of 10,000 connections against 1,000", 1.3, "x",
        _cpu_against("sleep-10000", servers.DEFAULT, "sleep"),
    ),
    Target("sleep: resident bytes a parked request", 40 * 1024, "B", lambda r: r.default("sleep", "parked_bytes")),
    Target("psycopg2: requests a second, of 10,000", 9_800, "", lambda r: r.default("psycopg2", "rps"), at_least=True),
    Target("psycopg2: CPU against gunicorn's gevent worker", 1 / 5, "x", _cpu_against("psycopg2", "gunicorn-gevent")),
    Target("psycopg2: CPU against uWSGI's threads", 1 / 2, "x", _cpu_against("psycopg2", "uwsgi-threads")),
    Target(
        "chat: memory a user against gunicorn's gevent worker", 1.0, "x",
        _between("chat", servers.DEFAULT, "gunicorn-gevent", "user_bytes"),
    ),
    Target("yield_() and back", 150, "ns", lambda r: r.default("go", "yield_ns")),
    Target("go() and join()", 1_500, "ns", lambda r: r.default("go", "go_ns")),
    Target("a value through a channel", 300, "ns", lambda r: r.default("go", "channel_ns")),
    Target("two workers against one", 1.9, "x", lambda r: r.default("scaling", "scaling"), at_least=True),
    Target("engine-switch: rise of the p99", 20_000, "µs", lambda r: r.default("engine-switch", "p99_rise_us")),
    Target("listing of 1,000 requests", 50, "ms", lambda r: r.default("listing", "listing_ms")),
    Target("kill -9 of a worker to an answer", 300, "ms", lambda r: r.default("respawn", "respawn_ms")),
    Target("switch out and back in", 30, "ns", lambda r: r.worst("BM_SwitchPair", "ns")),
    Target("green thread on a recycled stack", 200, "ns", lambda r: r.worst("BM_SpawnOnRecycledStack", "ns")),
    Target("parked green thread, resident", 8192, "B", lambda r: r.worst("BM_ManyParked", "resident_bytes_each")),
)


def check(results):
    """[(target, measured, verdict)]; the verdict is "met", "missed" or "not measured"."""
    rows = []
    for target in ALL:
        value = target.measured(results)
        verdict = "not measured" if value is None else "met" if target.is_met(value) else "missed"
        rows.append((target, value, verdict))
    return rows
