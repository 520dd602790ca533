"""Greenring beside other servers and the physical limit: tools/dev bench [--quick] [--scenarios=a,b] ...

Every server is pinned to CPU 0 and the load generator to CPU 1, both on this machine. wrk, which spends about as long on
a request as the limit does, is often the slower side; so the figure to compare is the server's CPU time per request that
wrk saw answered, not requests per second. docs/BENCHMARKS.md explains the figures and holds a reference run.
"""

import argparse
import os
import pathlib
import platform
import sys
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1]))  # testing/, where components/ is

import micro
import processes
import report
import scenarios
import servers
import svg
import targets

PLOTTED = (  # scenario, figure, title, format
    ("hello", "cpu_us", "Hello world, keep-alive, 64 connections: CPU µs per request", "{:,.2f}"),
    ("hello", "rps", "Hello world, keep-alive, 64 connections: requests per second", "{:,.0f}"),
    ("hello-close", "cpu_us", "Hello world, one connection per request: CPU µs per request", "{:,.2f}"),
    ("sleep", "cpu_us", "1,000 requests that sleep 100 ms: CPU µs per request", "{:,.2f}"),
    ("sleep", "parked_bytes", "1,000 requests that sleep: resident bytes each", "{:,.0f}"),
    ("psycopg2", "cpu_us", "1,000 requests that query PostgreSQL for 100 ms: CPU µs per request", "{:,.2f}"),
    ("idle", "first_bytes", "Idle keep-alive connections: resident bytes each", "{:,.0f}"),
)


QUICK = (  # the servers of a smoke run: one of Greenring's for each scenario, and the peers of the targets in most
    servers.DEFAULT, servers.LIMIT, servers.SUSPENDS, "uwsgi-sync", "uwsgi-ugreen-suspend", "gunicorn-gevent",
    "nginx-greenring", "nginx-uwsgi-sync",
)  # fmt: skip


def parse_arguments(words):
    parser = argparse.ArgumentParser(prog="tools/dev bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run of some minutes; its figures are rough")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (7)")
    parser.add_argument("--duration", type=int, help="seconds of load in a round (3)")
    parser.add_argument("--connections", type=int, default=10_000, help="idle connections (10000)")
    parser.add_argument("--servers", help="only these, separated by commas")
    parser.add_argument("--scenarios", help="only these, separated by commas")
    parser.add_argument("--out", type=pathlib.Path, default=servers.ROOT / "bench-out", help="results (bench-out/)")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--list", action="store_true", help="list servers, scenarios and targets")
    arguments = parser.parse_args(words)
    quick = arguments.quick
    arguments.rounds = arguments.rounds or (1 if quick else 7)
    arguments.duration = arguments.duration or (1 if quick else 3)
    arguments.connections = min(arguments.connections, 1_000) if quick else arguments.connections
    if quick and not arguments.servers:
        arguments.servers = ",".join(QUICK)
    return arguments


def select(everything, names, kind):
    if names is None:
        return list(everything)
    by_name = {item.name: item for item in everything}
    if unknown := [name for name in names.split(",") if name not in by_name]:
        sys.exit(f"bench: no {kind} called {', '.join(unknown)}; there are: {', '.join(by_name)}")
    return [by_name[name] for name in names.split(",")]


def list_all():
    for title, names in (
        ("servers", [server.name + ("" if not server.missing() else "  (not here)") for server in servers.ALL]),
        ("scenarios", [f"{scenario.name}: {scenario.title}" for scenario in scenarios.ALL]),
        ("targets", [f"{target.name}: {target.limit}" for target in targets.ALL]),
    ):
        print(title, *[f"  {name}" for name in names], sep="\n")


def present(chosen, say):
    for server in chosen:
        if missing := server.missing():
            say(f"left out {server.name}: no {missing[0]}")
    return [server for server in chosen if not server.missing()]


def give_the_limit_our_response(chosen, directory):
    """The raw responder answers with the very bytes that Greenring sends, so that both move the same amount."""
    response = servers.FALLBACK_RESPONSE
    for server in chosen:
        if server.name == servers.DEFAULT:
            with servers.running(server, "hello:application", directory) as running:
                response = servers.response_of(running.url)
    (directory / "response.bin").write_bytes(response)


def machine():
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if "model name" in line), "")
    return {
        "kernel": platform.release(),
        "cpu": model,
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def main():
    arguments = parse_arguments(sys.argv[1:])
    if arguments.list:
        list_all()
        return 0
    started = time.monotonic()
    say = lambda line: print(f"[{time.monotonic() - started:5.0f} s] {line}", file=sys.stderr, flush=True)  # noqa: E731
    chosen_scenarios = select(scenarios.ALL, arguments.scenarios, "scenario")
    chosen = present(select(servers.ALL, arguments.servers, "server"), say)
    directory = arguments.out.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    description = machine()
    give_the_limit_our_response(chosen, directory)
    settings = scenarios.Settings(arguments.quick, arguments.rounds, arguments.duration, arguments.connections, directory, say)

    rounds = {}
    for scenario in chosen_scenarios:
        rounds[scenario.name] = scenario.measure([s for s in chosen if s.takes_part_in(scenario)], settings)
    tables = {name: report.medians(rows) for name, rows in rounds.items()}
    figures = {} if arguments.scenarios else micro.measure(say)
    checked = targets.check(targets.Results(tables, figures))

    for scenario in chosen_scenarios:
        print(report.table(f"\n{scenario.title}", tables[scenario.name]))
    print("\n" + report.targets_table(checked))
    if any((row.get("disturbed") or 0) > 0.1 for rows in tables.values() for row in rows.values()):
        print("\nSome servers waited for their CPU: something else is computing on this machine, the figures suffer.")
    report.write_json(directory / "results.json", description, rounds, tables, figures, checked)
    svg.write(directory / "results.svg", panels(tables))
    print(f"\nwrote {directory}/results.json and results.svg")
    return 1 if arguments.check and any(verdict == "missed" for _, _, verdict in checked) else 0


def panels(tables):
    found = []
    for scenario, figure, title, form in PLOTTED:
        bars = {server: row[figure] for server, row in tables.get(scenario, {}).items()}
        if bars:
            found.append(svg.Panel(title, bars, form))
    return found


if __name__ == "__main__":
    sys.exit(main())
