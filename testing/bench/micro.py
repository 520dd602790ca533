"""Runs the microbenchmarks that carry a budget (Google Benchmark, built beside the code) and reads their figures."""

import json
import pathlib
import subprocess

import processes
import servers

PROGRAMS = ("green/context_benchmark", "green/scheduler_benchmark")
BUDGETED = "BM_SwitchPair|BM_SpawnOnRecycledStack|BM_ManyParked"


def measure(say):
    """{(benchmark, engine): {"ns": ..., counters}}; empty when the programs are not built."""
    found = {}
    for program in PROGRAMS:
        path = pathlib.Path(servers.ROOT / "bazel-bin" / program)
        if not path.exists():
            say(f"micro {program}: not built")
            continue
        command = [path, f"--benchmark_filter={BUDGETED}", "--benchmark_format=json", "--benchmark_repetitions=5"]
        command += ["--benchmark_report_aggregates_only=true", "--benchmark_min_time=0.05"]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=processes.pin(processes.SERVER_CPU))
        if done.returncode != 0:
            say(f"micro {program}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
            continue
        for run in json.loads(done.stdout)["benchmarks"]:
            if run["aggregate_name"] != "median":
                continue
            name = run["name"].partition("/")[0]
            figures = {"ns": run["cpu_time"] * {"ns": 1, "us": 1e3, "ms": 1e6}[run["time_unit"]]}
            if "resident_bytes_each" in run:
                figures["resident_bytes_each"] = run["resident_bytes_each"]
            found[name, run.get("label", "")] = figures
            say(f"micro {name} {run.get('label', '')}: " + ", ".join(f"{v:,.1f} {k}" for k, v in figures.items()))
    return found
