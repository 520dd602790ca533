"""What one process tree costs, read from /proc.

    before = sample(pid)
    ...load...
    cost = sample(pid) - before      # cost.cpu_ns, cost.switches

CPU time is the sum of the threads' run times in /proc/PID/task/*/schedstat: nanoseconds, where utime and stime only
count 10 ms ticks. A thread that dies between two samples takes its time with it; no server here does that under load.
"""

import dataclasses
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

SERVER_CPU = 0
CLIENT_CPU = 1


@dataclasses.dataclass(frozen=True)
class Sample:
    cpu_ns: int  # run time, user and system
    waiting_ns: int  # time spent runnable but not running: somebody else had the CPU
    threads: int
    switches: int  # context switches, voluntary and not

    def __sub__(self, earlier):
        return Sample(
            self.cpu_ns - earlier.cpu_ns,
            self.waiting_ns - earlier.waiting_ns,
            self.threads,
            self.switches - earlier.switches,
        )


def tree(pid):
    """The process and all its descendants, the process first."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def sample(pid):
    cpu_ns = waiting_ns = threads = switches = 0
    for member in tree(pid):
        for task in pathlib.Path(f"/proc/{member}/task").iterdir():
            ran, waited, _ = (task / "schedstat").read_text().split()
            cpu_ns += int(ran)
            waiting_ns += int(waited)
            threads += 1
            switches += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())))
    return Sample(cpu_ns, waiting_ns, threads, switches)


def memory_bytes(pid):
    """(Rss, Pss) of the tree. Pages shared by its processes count in each one's Rss and once in the sum of Pss."""
    rss = pss = 0
    for member in tree(pid):
        rollup = pathlib.Path(f"/proc/{member}/smaps_rollup").read_text()
        rss += int(re.search(r"^Rss:\s+(\d+)", rollup, re.M)[1]) * 1024
        pss += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1]) * 1024
    return rss, pss


def peak_bytes(pid):
    """The most that was ever resident of each of the tree's processes, added up."""
    statuses = [pathlib.Path(f"/proc/{member}/status").read_text() for member in tree(pid)]
    return sum(int(re.search(r"^VmHWM:\s+(\d+)", status, re.M)[1]) * 1024 for status in statuses)


class SyscallCounter:
    """Counts the system calls of a process tree: perf's tracepoint where it works, strace where not, else None.

    Counting slows the server down, so it gets a run of its own.
    """

    def __init__(self, pid):
        pids = [str(member) for member in tree(pid)]
        self._strace = not _perf_counts_syscalls()
        if not self._strace:
            command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", ",".join(pids)]
        elif shutil.which("strace"):
            command = ["strace", "-c", "-f", "-U", "calls", *[word for p in pids for word in ("-p", p)]]
        else:
            self._counter = None
            return
        self._counter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)  # neither tool says when it has attached

    def stop(self):
        if self._counter is None:
            return None
        self._counter.send_signal(signal.SIGINT)
        output = self._counter.communicate()[1]
        if self._strace:
            counts = re.findall(r"^\s*(\d+)\s*$", output, re.M)
            return int(counts[-1]) if counts else None
        match = re.search(r"^(\d+),", output, re.M)
        return int(match[1]) if match else None


_perf_works = None


def _perf_counts_syscalls():
    global _perf_works
    if _perf_works is None:
        probe = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "true"]
        try:
            result = subprocess.run(probe, capture_output=True, text=True)
            _perf_works = bool(re.search(r"^\d+,", result.stderr, re.M))
        except FileNotFoundError:
            _perf_works = False
    return _perf_works


def raise_descriptor_limit():
    """As many descriptors as this user may have, for this process and those it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pin(cpu):
    """A preexec_fn that pins the child; on a machine with one CPU everything shares it."""
    available = sorted(os.sched_getaffinity(0))
    chosen = available[min(cpu, len(available) - 1)]
    return lambda: os.sched_setaffinity(0, {chosen})
