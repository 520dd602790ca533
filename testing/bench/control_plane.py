"""What the control plane's promises cost: more workers, a live change under load, a listing, a worker that is killed.

These compare Greenring with itself, as a master with workers, over its API.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

import load
import processes
import servers
from components.daemon import free_port
from components.reflection import Api

SETTLE_S = 0.3
ENGINES = ("FCONTEXT", "THREAD", "UCONTEXT")


@dataclasses.dataclass(frozen=True)
class Master:
    """A running server and its API."""

    pid: int
    url: str
    api: Api

    def worker_pids(self):
        return processes.tree(self.pid)[1:]

    def update(self, fields):
        """Changes the pool and waits until all of it runs the change; returns how long that took."""
        began = time.monotonic()
        update_mask = ",".join(fields)
        operation = self.api.call("PoolService", "UpdatePool", pool={"name": "pools/web", **fields},
                                  update_mask=update_mask)  # fmt: skip
        done = self.api.wait(operation)
        if done.error.code:
            raise RuntimeError(f"update {fields}: {done.error.message}")
        return time.monotonic() - began


@contextlib.contextmanager
def running(app, cpus, *flags):
    """A master of one pool on a free port, on these CPUs. Ends with the context."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="greenring-") as directory:
        control = f"unix:{directory}/control.sock"
        command = [servers.GREENRING, f"--app={app}", f"--chdir={servers.APPS}", f"--http=127.0.0.1:{port}"]
        command += [f"--control={control}", *flags]
        with pathlib.Path(directory, "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       preexec_fn=lambda: os.sched_setaffinity(0, cpus))  # fmt: skip
        try:
            servers.wait_until_it_answers(process, port, pathlib.Path(directory, "log"))
            with Api(control) as api:
                yield Master(process.pid, f"http://127.0.0.1:{port}", api)
        finally:
            process.terminate()
            process.wait()


class OfOurselves:
    """A scenario of the default server only."""

    def accepts(self, server):
        return server.name == servers.DEFAULT

    def measure(self, chosen, settings):
        rows = [row for number in range(settings.rounds) if (row := self.round(settings, number))]
        return {server.name: rows for server in chosen}


@dataclasses.dataclass(frozen=True)
class Scaling(OfOurselves):
    """One worker on one CPU, then two on two, each time with a thread of wrk on each of these CPUs.

    So a CPU has the same mix of server and load both times. `scaling` discounts the load: two CPUs full of the workers'
    time for a request, against one. `throughput` is what wrk saw.
    """

    name: str = "scaling"
    title: str = "Hello world, two workers on two CPUs against one on one"
    connections: int = 32  # for each worker

    def round(self, settings, number):
        one_us, one_rps, _ = self._measure((0,), settings)
        two_us, two_rps, share = self._measure((0, 1), settings)
        row = {"one_us": one_us, "two_us": two_us, "scaling": 2 * one_us / two_us, "throughput": two_rps / one_rps,
               "larger_share": share}  # fmt: skip
        settings.say(f"{self.name} {number + 1}/{settings.rounds}: {one_us:.2f} and {two_us:.2f} CPU µs a request, "
                     f"{row['scaling']:.2f} x; throughput {row['throughput']:.2f} x; busier worker {share:.0%}")  # fmt: skip
        return row

    def _measure(self, cpus, settings):
        """CPU time a request of all workers, requests a second, and the share of the time that the busiest one had."""
        pinned = ",".join(map(str, cpus))
        flags = (f"--workers={len(cpus)}", f"--cpu_affinity={pinned}")
        with running("hello:application", cpus, *flags) as master:
            drive = lambda seconds: load.wrk(master.url + "/", self.connections * len(cpus), seconds, cpus=cpus)  # noqa: E731
            drive(1)
            workers = master.worker_pids()
            before = {pid: processes.sample(pid) for pid in workers}
            result = drive(settings.duration_s)
            time.sleep(SETTLE_S)
            spent = [(processes.sample(pid) - before[pid]).cpu_ns for pid in workers]
            return sum(spent) / 1e3 / max(result.requests, 1), result.requests / result.seconds, max(spent) / sum(spent)


@dataclasses.dataclass(frozen=True)
class EngineSwitches(OfOurselves):
    """The p99 of requests that sleep 100 ms on each engine, and while the pool's engine changes twice a second.

    What a change costs is how far the latter is beyond that of the slowest engine alone.
    """

    name: str = "engine-switch"
    title: str = "p99 of time.sleep(0.1), 200 connections, while the engine changes twice a second"
    connections: int = 200
    between_s: float = 0.5

    def round(self, settings, number):
        seconds = max(settings.duration_s, 4)
        with running("sleep:application", {processes.SERVER_CPU}, f"--async_cores={self.connections}") as master:
            drive = lambda: load.wrk(master.url + "/", self.connections, seconds)  # noqa: E731
            drive()
            steady = {}
            for engine in ENGINES:
                master.update({"engine": engine})
                steady[engine] = drive()
            took, over = [], threading.Event()
            switcher = threading.Thread(target=self._switch, args=(master, over, took))
            switcher.start()
            switched = drive()
            over.set()
            switcher.join()
        row = {
            **{f"{engine.lower()}_p99_us": alone.p99_us for engine, alone in steady.items()},
            "switched_p99_us": switched.p99_us,
            "p99_rise_us": switched.p99_us - max(alone.p99_us for alone in steady.values()),
            "changes": len(took),
            "change_ms": statistics.median(took) * 1e3,
            "errors": sum(alone.errors for alone in steady.values()) + switched.errors,
        }
        settings.say(f"{self.name} {number + 1}/{settings.rounds}: p99 "
                     f"{', '.join(f'{engine} {alone.p99_us / 1e3:.1f} ms' for engine, alone in steady.items())}, "
                     f"{switched.p99_us / 1e3:.1f} ms with {len(took)} changes")  # fmt: skip
        return row

    def _switch(self, master, over, took):
        number = 0
        while not over.wait(self.between_s):
            took.append(master.update({"engine": ENGINES[number % len(ENGINES)]}))
            number += 1


@dataclasses.dataclass(frozen=True)
class Listing(OfOurselves):
    """ListRequests with 1,000 of them in flight, as the client sees it."""

    name: str = "listing"
    title: str = "The list of 1,000 requests in flight"
    connections: int = 1_000

    def round(self, settings, number):
        took, counts = [], []

        def list_now():
            for _ in range(5):
                began = time.monotonic()
                answer = master.api.call("RequestService", "ListRequests", parent="pools/-/workers/-",
                                         page_size=2 * self.connections)  # fmt: skip
                took.append(time.monotonic() - began)
                counts.append(len(answer.requests))

        with running("sleep:application", {processes.SERVER_CPU}, f"--async_cores={self.connections}") as master:
            load.wrk(master.url + "/", self.connections, 3)
            load.wrk(master.url + "/", self.connections, 4, halfway=list_now)
        row = {"listed": statistics.median(counts), "listing_ms": statistics.median(took) * 1e3}
        settings.say(f"{self.name} {number + 1}/{settings.rounds}: {row['listing_ms']:.1f} ms for {row['listed']:.0f}")
        return row


@dataclasses.dataclass(frozen=True)
class Respawn(OfOurselves):
    """From kill -9 of the only worker to the next answer, the application's import (hello's: next to none) included."""

    name: str = "respawn"
    title: str = "From kill -9 of the only worker to an answer"

    def round(self, settings, number):
        with running("hello:application", {processes.SERVER_CPU}) as master:
            (worker,) = master.worker_pids()
            began = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            while True:  # a connection that the dead worker had accepted is lost with it
                with contextlib.suppress(OSError), urllib.request.urlopen(master.url, timeout=5) as answer:
                    answer.read()
                    break
            row = {"respawn_ms": (time.monotonic() - began) * 1e3}
        settings.say(f"{self.name} {number + 1}/{settings.rounds}: {row['respawn_ms']:.0f} ms")
        return row


ALL = (Scaling(), EngineSwitches(), Listing(), Respawn())
