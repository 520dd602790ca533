"""The load generators, all on the client's CPU: wrk for requests, idle_client.py for connections that do nothing,
chat_client.py for users that long-poll.
"""

import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.parse

import processes

IDLE_CLIENT = pathlib.Path(__file__).with_name("idle_client.py")
CHAT_CLIENT = pathlib.Path(__file__).with_name("chat_client.py")
_UNIT_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000}


@dataclasses.dataclass(frozen=True)
class Load:
    requests: int  # answered in full, as wrk counted them
    seconds: float
    p50_us: float
    p99_us: float
    errors: int  # socket errors, timeouts and answers other than 2xx and 3xx
    client_busy: float  # share of its CPU that wrk used: near 1 means that wrk was the bottleneck


def wrk(url, connections, seconds, headers=(), halfway=None, cpus=()):
    """Load for so many seconds; `halfway` is called in the middle of it. `cpus`: a thread each, else the client's."""
    command = ["wrk", f"-t{max(len(cpus), 1)}", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout=10s"]
    command += [word for header in headers for word in ("-H", header)] + [url]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: _prepare(cpus))
    if halfway is not None:
        time.sleep(seconds / 2)
        halfway()
    output = child.stdout.read()
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    return parse_wrk(output, usage.ru_utime + usage.ru_stime)


def _prepare(cpus):
    processes.raise_descriptor_limit()
    if cpus:
        os.sched_setaffinity(0, cpus)
    else:
        processes.pin(processes.CLIENT_CPU)()


def parse_wrk(output, cpu_seconds):
    done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", output)
    if done is None:
        raise RuntimeError(f"wrk said: {output!r}")
    seconds = float(done[2]) * _UNIT_US[done[3]] / 1e6
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    errors = (int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0)
    return Load(
        int(done[1]), seconds, _percentile(output, 50), _percentile(output, 99), errors, cpu_seconds / seconds
    )


def _percentile(output, percent):
    match = re.search(rf"^\s*{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", output, re.M)
    return float(match[1]) * _UNIT_US[match[2]] if match else float("nan")


class Unanswered:
    """One request that is sent and whose answer nobody reads. Its connection closes when the context ends."""

    def __init__(self, url, path):
        parts = urllib.parse.urlsplit(url)
        self._connection = socket.create_connection((parts.hostname, parts.port))
        self._connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()


class IdleConnections:
    """Connections that were each served one request and now say nothing. They close when the context ends.

    with IdleConnections(url, 10_000) as idle:
        print(idle.served)
    """

    def __init__(self, url, count):
        parts = urllib.parse.urlsplit(url)
        self._child = subprocess.Popen(
            [sys.executable, IDLE_CLIENT, parts.hostname, str(parts.port), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=processes.pin(processes.CLIENT_CPU),
        )  # fmt: skip
        self.served = int(self._child.stdout.readline() or 0)

    def still_open(self):
        """How many of them the server has not closed."""
        self._child.stdin.write("count\n")
        self._child.stdin.flush()
        return int(self._child.stdout.readline() or 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


class ChatUsers:
    """Users of apps/chat.py that all wait for a message. They leave, each answered, when the context ends.

    with ChatUsers(url, 1_000) as users:
        print(users.talk(seconds=3, rate=5)["p99_us"])

    RuntimeError tells what the client wrote when it ended early: a message was lost, the server closed a connection.
    """

    def __init__(self, url, count):
        parts = urllib.parse.urlsplit(url)
        self._child = subprocess.Popen(
            [sys.executable, CHAT_CLIENT, parts.hostname, str(parts.port), str(count)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=processes.pin(processes.CLIENT_CPU),
        )  # fmt: skip
        try:
            self._read()
        except RuntimeError:
            self._leave()
            raise

    def talk(self, seconds, rate):
        """`rate` messages a second to every user; returns chat_client.py's figures when all were heard."""
        self._child.stdin.write(f"{seconds} {rate}\n")
        self._child.stdin.flush()
        return self._read()

    def _read(self):
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(self._child.stderr.read().strip() or "the chat's client ended")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, error_type, *_):
        reason = self._leave()
        if error_type is None and self._child.returncode != 0:
            raise RuntimeError(reason)

    def _leave(self):
        """Waits for the client's end; what it wrote."""
        self._child.stdin.close()
        reason = self._child.stderr.read().strip()
        self._child.wait()
        self._child.stdout.close()
        self._child.stderr.close()
        return reason
