"""Plays the master to one real worker process: `server --worker` with a socketpair as its descriptor 3.

    with Worker("response_app") as worker:
        worker.start()                       # Start, with a listening socket; waits for Ready
        worker.connect().get("/hello")
        worker.tell(drain={"reason": "a test"})
        worker.wait()                        # exit code 0

The messages are those of proto/greenring/worker/v1/link.proto: protoc makes Python of them when this is imported
(packages protobuf-compiler and python3-protobuf). `link.py APP` starts a worker, prints its pid and stays: a master that
a test can kill.
"""

import array
import atexit
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from fixture import APPS, ROOT, Log, server_binary
from wire import DEADLINE_S, Connection


def _generate():
    directory = tempfile.mkdtemp(prefix="greenring-proto-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    protos = os.path.join(ROOT, "proto")
    names = ["google/rpc/status.proto"]
    for package in ("greenring/worker/v1", "greenring/control/v1"):
        names += [f"{package}/{name}" for name in sorted(os.listdir(f"{protos}/{package}"))]
    subprocess.run(["protoc", f"-I{protos}", f"--python_out={directory}", *names], check=True)
    sys.path.append(directory)


_generate()

from google.protobuf import json_format  # noqa: E402
from greenring.worker.v1 import hand_over_pb2, link_pb2  # noqa: E402, F401

# What a pool has once its defaults are filled in, for a test.
POOL = {
    "name": "pools/test", "generation": "1", "workers": 1, "async_cores": 16, "engine": "UCONTEXT",
    "stack_size_bytes": str(256 * 1024), "queue_depth_max": 1024, "python_threads": "OS", "time_slice": "0.010s",
    "timeouts": {"request_grace": "5s", "keepalive": "75s", "header": "30s", "io": "60s", "drain": "30s",
                 "start": "60s"},
    "limits": {"request_line_bytes": 8190, "request_fields": 100, "request_field_bytes": 8190},
    "logging": {"error_log": "-"},
}


def listening_socket(reuse_port=False):
    one = socket.socket()
    if reuse_port:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", 0))
    one.listen(128)
    return one


def address_of(one):
    """A listening socket's address, as a worker calls it."""
    name = one.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"{name[0]}:{name[1]}"


class Worker:
    """One worker. `sockets` stay this process's, as a master's do."""

    def __init__(self, app, sockets=None, pool=None, environment=None):
        self.sockets = [listening_socket()] if sockets is None else sockets
        self.pool = {**POOL, "application": {"target": app, "working_directory": APPS}}
        for name, value in (pool or {}).items():
            self.pool[name] = {**self.pool.get(name, {}), **value} if isinstance(value, dict) else value
        self.link, theirs = socket.socketpair()
        self.link.settimeout(DEADLINE_S)
        read_end, write_end = os.pipe()
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
        files = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, write_end, 2),
                 (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3)]
        files += [(os.POSIX_SPAWN_CLOSE, int(fd)) for fd in os.listdir("/proc/self/fd") if int(fd) > 3]
        self.pid = os.posix_spawn(server_binary(), ["greenring: test", "--worker"], environment, setpgroup=0,
                                  file_actions=files)
        os.close(write_end)
        theirs.close()
        self._pidfd = os.pidfd_open(self.pid)
        self.log = Log(os.fdopen(read_end, "rb"))
        self.exit_code = None
        self._received = b""
        self._waiting = []  # messages that nobody has asked for yet
        self._last_id = 0

    def __enter__(self):
        return self

    def __exit__(self, exception_type, *_):
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.link.close()
        for one in self.sockets:
            one.close()
        os.close(self._pidfd)
        if exception_type is not None:
            print(f"    stderr of the worker:\n{self.log.text()}")

    # Messages

    def send_start(self, sockets=None, routes=None, descriptors=()):
        """Start, with the sockets' descriptors; `descriptors` are those of `routes`."""
        sockets = [*(self.sockets if sockets is None else sockets), *descriptors]
        start = {"worker": "pools/test/workers/1", "slot": 1, "pool": self.pool,
                 "sockets": [{"address": address_of(one), "protocol": "HTTP"} for one in self.sockets]}
        if routes is not None:
            start["routes"] = routes
        self._send(self._frame(start=start), sockets)

    def start(self, routes=None, descriptors=()):
        self.send_start(routes=routes, descriptors=descriptors)
        return self.expect("ready")

    def tell(self, descriptors=(), **what):
        """Sends a message, with its descriptors; returns its id."""
        self._send(self._frame(**what), descriptors)
        return self._last_id

    def ask(self, **what):
        """Sends a message; returns its answer."""
        asked = self.tell(**what)
        return self._take(lambda message: message.answer_to == asked, f"an answer to {what}")

    def expect(self, kind):
        """The next message of this kind that is no answer."""
        message = self._take(lambda one: one.answer_to == 0 and one.WhichOneof("what") == kind, kind)
        return getattr(message, kind)

    def _send(self, frame, descriptors):
        rights = array.array("i", [one.fileno() for one in descriptors])
        sent = self.link.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else [])
        if sent < len(frame):
            self.link.sendall(frame[sent:])

    def _frame(self, **what):
        self._last_id += 1
        payload = json_format.ParseDict({"id": self._last_id, **what}, link_pb2.ToWorker()).SerializeToString()
        return struct.pack("<I", len(payload)) + payload

    def _take(self, wanted, what):
        end = time.monotonic() + DEADLINE_S
        while True:
            for message in self._waiting:
                if wanted(message):
                    self._waiting.remove(message)
                    return message
            if time.monotonic() > end:
                raise AssertionError(f"the worker has not sent {what}, but {self._waiting}")
            self._receive(what)

    def _receive(self, what):
        data = self.link.recv(65536)
        if not data:
            raise AssertionError(f"the worker has closed the link instead of sending {what}; stderr was:\n"
                                 + self.log.text())
        self._received += data
        while len(self._received) >= 4:
            size, = struct.unpack_from("<I", self._received)
            if len(self._received) < 4 + size:
                return
            self._waiting.append(link_pb2.FromWorker.FromString(self._received[4:4 + size]))
            self._received = self._received[4 + size:]

    # The process

    def connect(self, **options):
        return Connection(self.sockets[0].getsockname(), **options)

    def wait(self, deadline_s=DEADLINE_S):
        """Waits for the process to end; its exit code, negative for a signal."""
        if self.exit_code is None:
            if not select.select([self._pidfd], [], [], deadline_s)[0]:
                raise AssertionError("the worker does not end; stderr was:\n" + self.log.text())
            self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.exit_code

    def descriptors(self):
        """What its descriptors are, by their number."""
        directory = f"/proc/{self.pid}/fd"
        return {int(name): os.readlink(f"{directory}/{name}") for name in os.listdir(directory)}

    def status(self, key):
        with open(f"/proc/{self.pid}/status") as status:
            return next(line.split(":")[1].strip() for line in status if line.startswith(key + ":"))


if __name__ == "__main__":
    held = Worker(sys.argv[1])
    held.start()
    print(held.pid, flush=True)
    signal.pause()
