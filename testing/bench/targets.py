"""Greenring's budgets, checked against what was just measured. To add one, add a Target to ALL."""

import dataclasses

import servers


@dataclasses.dataclass(frozen=True)
class Target:
    name: str
    bound: float  # at most this
    unit: str
    measured: object  # called with the Results; None when the run did not measure it


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


def _close_against_uwsgi(results):
    ours = results.default("hello-close", "cpu_us")
    theirs = results.of("hello-close", "uwsgi-sync", "cpu_us")
    return ours / theirs if ours and theirs else None


ALL = (
    Target("hello: CPU against the raw responder", 1.35, "x", lambda r: r.default("hello", "cpu_ratio")),
    Target("hello: system calls a request", 0.2, "", lambda r: r.default("hello", "syscalls")),
    Target("hello-close: CPU against uWSGI's sync worker", 1.0, "x", _close_against_uwsgi),
    Target("idle: resident bytes a connection", 512, "B", lambda r: r.default("idle", "first_bytes")),
    Target("switch out and back in", 30, "ns", lambda r: r.worst("BM_SwitchPair", "ns")),
    Target("green thread on a recycled stack", 200, "ns", lambda r: r.worst("BM_SpawnOnRecycledStack", "ns")),
    Target("parked green thread, resident", 8192, "B", lambda r: r.worst("BM_ManyParked", "resident_bytes_each")),
)


def check(results):
    """[(target, measured, verdict)]; the verdict is "met", "missed" or "not measured"."""
    rows = []
    for target in ALL:
        value = target.measured(results)
        verdict = "not measured" if value is None else "met" if value <= target.bound else "missed"
        rows.append((target, value, verdict))
    return rows
