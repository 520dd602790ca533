"""Starts the built server on free ports and stops it again, asserting that it behaved.

    with Server("response_app", "--async_cores=4") as server:
        with server.connect() as connection:
            response = connection.get("/hello")

Leaving the block sends SIGTERM and asserts exit code 0 and that stderr holds no line nobody expected.
Nothing here sleeps to wait for an event: every wait is a read with a deadline, or a poll of /proc with one.
"""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time

from wire import DEADLINE_S, Connection

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
APPS = os.path.join(ROOT, "testing", "apps")
ENGINES = ("ucontext", "fcontext")
_PF_IO_WORKER = 0x10  # of a task's flags in /proc: its name, iou-wrk-PID, is only given to it after it has begun


def server_binary():
    """The server under test: GREENRING_SERVER, or what the last plain `bazel build //:server` made."""
    return os.environ.get("GREENRING_SERVER") or os.path.join(ROOT, "bazel-out", "k8-opt", "bin", "server")


def eventually(predicate, what, deadline_s=DEADLINE_S):
    """Polls state outside this process (/proc, a file) until `predicate` gives something true, and returns it."""
    end = time.monotonic() + deadline_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.005)


class Log:
    """The lines of a stream, collected by a thread; `expect` waits for one and marks all up to it as expected."""

    def __init__(self, stream):
        self.lines = []
        self._expected = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._collect, args=(stream,), daemon=True)
        self._thread.start()

    def _collect(self, stream):
        with stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def expect(self, pattern, deadline_s=DEADLINE_S):
        """Waits for a not yet expected line that matches; returns the lines up to and including it."""
        matcher = re.compile(pattern)
        end = time.monotonic() + deadline_s
        with self._changed:
            seen = self._expected
            while True:
                for index in range(seen, len(self.lines)):
                    if matcher.search(self.lines[index]):
                        block = self.lines[self._expected:index + 1]
                        self._expected = index + 1
                        return block
                seen = len(self.lines)
                left = end - time.monotonic()
                if self._closed or left <= 0:
                    raise AssertionError(f"no line matches {pattern!r}; stderr was:\n" + self.text())
                self._changed.wait(left)

    def unexpected(self, usual):
        """Lines that nobody expected and that match none of the patterns `usual`, once the stream has ended."""
        self._thread.join(DEADLINE_S)
        with self._changed:
            return [line for line in self.lines[self._expected:] if not any(re.search(one, line) for one in usual)]

    def text(self):
        return "\n".join(self.lines)


class Server:
    """One server process. `listeners` holds (host, port) or a path, in the order of the --http and --uwsgi
    flags.

    `usual` are patterns of lines that may stand on stderr as often as they like. `prefix` is a program that becomes the
    server (by exec), with its arguments. `master`: "on" for a master with workers; else one process serves by itself.
    """

    def __init__(self, app, *flags, engine="ucontext", http=("127.0.0.1:0",), chdir=APPS, env=None, usual=(),
                 prefix=(), master="off"):
        self.command = [*prefix, server_binary(), f"--master={master}", f"--app={app}", f"--engine={engine}", f"--chdir={chdir}"]
        self.command += [f"--http={address}" for address in http]
        self.command += flags
        self.listeners = []
        self._usual = (r"\] signal \d+: draining$", r"\] stacks: deepest use \d+ KiB of \d+ KiB, 0 overflows;", *usual)
        self._env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        self._stdout = tempfile.TemporaryFile()
        self._signalled = False
        self.process = None
        self.log = None

    # Life

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self._stdout,
                                        stderr=subprocess.PIPE, env=self._env, bufsize=0)
        self.log = Log(os.fdopen(os.dup(self.process.stderr.fileno()), "rb"))
        self.process.stderr.close()
        try:
            for line in self.log.expect(r"^greenring: ready$"):
                where = re.match(r"greenring: listening on (?:(?:http|uwsgi)://(.+):(\d+)|unix:(.+))$", line)
                if where:
                    host, port, path = where.groups()
                    self.listeners.append(path if path else (host.strip("[]"), int(port)))
            if not self.listeners:
                raise AssertionError("ready without a `listening on` line:\n" + self.log.text())
        except AssertionError:
            self.kill()
            raise
        return self

    def terminate(self, signal_number=signal.SIGTERM):
        self._signalled = True
        self.process.send_signal(signal_number)

    def wait(self, deadline_s=DEADLINE_S):
        """Waits for the process to end and returns its exit code (negative for a signal)."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end within {deadline_s} s; stderr was:\n" + self.log.text())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Drains, unless a signal has been sent already, then asserts exit code 0 and an expected stderr."""
        if self.process.poll() is None and not self._signalled:
            self.terminate()
        code = self.wait()
        unexpected = self.log.unexpected(self._usual)
        if code != 0:
            raise AssertionError(f"exit code {code}; stderr was:\n" + self.log.text())
        if unexpected:
            raise AssertionError("unexpected on stderr:\n" + "\n".join(unexpected))

    def __enter__(self):
        return self.start()

    def __exit__(self, exception_type, *_):
        if exception_type is None:
            self.stop()
        elif self.process.poll() is None:
            self.kill()
            print(f"    stderr of the server:\n{self.log.text()}")

    # Use

    @property
    def address(self):
        return self.listeners[0]

    @property
    def port(self):
        return self.address[1]

    @property
    def pid(self):
        return self.process.pid

    def connect(self, **options):
        return Connection(self.address, **options)

    def stdout(self):
        self._stdout.seek(0)
        return self._stdout.read().decode("utf-8", "replace")

    # What the kernel knows about the process

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def os_threads(self):
        """The names of the process's threads, the kernel's own workers for io_uring left out."""
        names = []
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/stat") as stat:
                    _, _, rest = stat.read().partition("(")
            except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                continue
            name, _, fields = rest.rpartition(")")
            if not int(fields.split()[6]) & _PF_IO_WORKER:
                names.append(name)
        return names

    def _status_bytes(self, key):
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(rf"{key}:\s+(\d+) kB", status.read()).group(1)) * 1024

    def rss_bytes(self):
        return self._status_bytes("VmRSS")

    def peak_rss_bytes(self):
        return self._status_bytes("VmHWM")

    def reset_peak_rss(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as refs:
            refs.write("5")


def run_to_exit(*flags, env=None, deadline_s=DEADLINE_S):
    """Runs the server with flags that must make it end by itself; returns (exit code, stdout, stderr).

    A master has no API here, unless a flag says where: the default socket may be another server's.
    """
    has_master = any(flag.startswith("--app") for flag in flags) and "--master=off" not in flags
    if has_master and not any(flag.startswith("--control") for flag in flags):
        flags = (*flags, "--control=off")
    done = subprocess.run([server_binary(), *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=deadline_s, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})})
    return done.returncode, done.stdout, done.stderr
