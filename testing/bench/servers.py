"""The servers that are compared. To add one, add a Server to ALL.

All but the raw responder run the scenario's application from apps/, in one worker process pinned to the server's CPU,
without an access log, and otherwise as Debian's package comes. What Debian's uWSGI 2.0.21 can do with keep-alive, by
experiment: `--http-socket` closes after every answer; `--http11-socket` keeps the connection but its only worker with it
(63 of 64 clients wait), and together with `--async` never answers a connection's second request. Only its HTTP router,
a process of its own in front of the worker, serves 64 connections that stay open. With 1,000 threads and as many
connections `--http11-socket` answers nothing at all, so `uwsgi-threads` closes too.
"""

import contextlib
import dataclasses
import os
import pathlib
import socket
import subprocess
import time

import idle_client
import processes
from components.daemon import free_port
from components.nginx import Nginx

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPS = ROOT / "testing/bench/apps"
GREENRING = ROOT / "bazel-bin/server"
RAW = ROOT / "bazel-bin/testing/bench/raw_responder"
GEVENT = ("/usr/lib/python3/dist-packages/gevent",)
READY_TIMEOUT_S = 20

# What the raw responder answers when Greenring is not there to be asked for its own bytes.
FALLBACK_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    command: tuple  # {port}, {app}, {cores} and {response} are filled in
    needs: tuple  # files without which the server is left out
    keeps_alive: bool = True  # False: closes after every answer, so it cannot hold idle connections
    waiting_max: int = 0  # how many requests may wait in a blocking call at a time; 0: not made for it
    suspends_max: int = 0  # how many requests at a time may wait in uwsgi.suspend(); 0: there is no module `uwsgi`
    behind_nginx: bool = False  # {port} speaks the uwsgi protocol to an nginx, whose CPU does not count
    only: tuple = ()  # the scenarios it is made for; (): all that accept it

    def missing(self):
        return [path for path in self.needs if not pathlib.Path(path).exists()]

    def takes_part_in(self, scenario):
        return (not self.only or scenario.name in self.only) and scenario.accepts(self)


@dataclasses.dataclass(frozen=True)
class Running:
    server: Server
    pid: int
    url: str


def _greenring(engine, *options, name=None, needs=(), suspends_max=0, only=()):
    command = (str(GREENRING), "--app={app}", f"--chdir={APPS}", "--http=127.0.0.1:{port}", f"--engine={engine}")
    command += ("--async_cores={cores}", "--control=off", *options)
    return Server(name or f"greenring-{engine}", command, (str(GREENRING), *needs), waiting_max=0 if name else 100_000,
                  suspends_max=suspends_max, only=only)


def _raw(name, *options):
    return Server(name, (str(RAW), "--port={port}", "--response_file={response}", *options), (str(RAW),))


def _uwsgi(name, plugins, *options, keeps_alive, waiting_max=0, suspends_max=0):
    command = ("uwsgi", "--plugin", plugins, *options, "--chdir", str(APPS), "--module", "{app}", "--processes", "1")
    command += ("--need-app", "--disable-logging", "--listen", "1024", "--die-on-term")
    if not keeps_alive:
        command += ("--add-header", "Connection: close")  # else the client learns it from a broken connection
    needs = [f"/usr/lib/uwsgi/plugins/{plugin}_plugin.so" for plugin in plugins.split(",")]
    return Server(name, command, ("/usr/bin/uwsgi", *needs), keeps_alive, waiting_max, suspends_max)


def _behind_nginx(name, command, needs):
    return Server(name, command, (*needs, "/usr/sbin/nginx"), keeps_alive=False, behind_nginx=True)


def _gunicorn(name, worker, *options, needs=(), keeps_alive=True, waiting_max=0, only=()):
    # Idle connections must outlive the measurement: the defaults are 2 s and 1,000 connections.
    command = ("/usr/bin/gunicorn", "--chdir", str(APPS), "--bind", "127.0.0.1:{port}", "--workers", "1")
    command += ("--worker-class", worker, "--keep-alive", "300", "--worker-connections", "20000", *options, "{app}")
    return Server(name, command, ("/usr/bin/gunicorn", *needs), keeps_alive, waiting_max, only=only)


DEFAULT_CORES = 256  # of the scenarios that do not wait: Greenring's own default
DEFAULT = "greenring-ucontext"  # the engine that ratios and targets speak of
SUSPENDS = "greenring-suspend"  # the same with the module `uwsgi`
LIMIT = "raw"  # sleeps until one completion has come, as Greenring does

ALL = (
    _greenring("ucontext"),
    _greenring("fcontext"),
    _raw(LIMIT),
    # Sleeps until all 64 requests have come, or for 50 us: the least CPU, paid with latency where few clients call.
    _raw("raw-batched", "--wait_nr=64", "--min_wait_us=50"),
    _uwsgi("uwsgi-sync", "python3", "--http-socket", "127.0.0.1:{port}", keeps_alive=False),
    _uwsgi(
        "uwsgi-ugreen", "python3,ugreen", "--http-socket", "127.0.0.1:{port}", "--ugreen", "--async", "64",
        keeps_alive=False,
    ),
    _uwsgi(
        "uwsgi-router-ugreen", "python3,ugreen,http", "--http", "127.0.0.1:{port}", "--http-keepalive=300",
        "--http-timeout", "300", "--ugreen", "--async", "64",
        keeps_alive=True,
    ),
    _uwsgi(
        "uwsgi-threads", "python3", "--http-socket", "127.0.0.1:{port}", "--threads", "{cores}",
        keeps_alive=False, waiting_max=1_000,
    ),
    _greenring("ucontext", "--uwsgi_api", name=SUSPENDS, suspends_max=100_000),
    # Without threads, with which the second request that suspends deadlocks. From ten that sleep on it crashes.
    _uwsgi(
        "uwsgi-ugreen-suspend", "python3,ugreen", "--http-socket", "127.0.0.1:{port}", "--ugreen", "--async", "64",
        keeps_alive=False, suspends_max=8,
    ),
    _gunicorn(
        "gunicorn-gevent", "gevent",
        needs=(*GEVENT, "/usr/lib/python3/dist-packages/psycogreen"), waiting_max=20_000,
    ),
    _gunicorn("gunicorn-gthread", "gthread", "--threads", "64"),
    # The chat alone: with a thread for each user, and Greenring's engine for programs that are written for gevent.
    _gunicorn("gunicorn-threads", "gthread", "--threads", "{cores}", waiting_max=1_000, only=("chat",)),
    _greenring("gevent", "--gevent_monkey_patch", needs=GEVENT, only=("chat",)),
    _gunicorn("gunicorn-sync", "sync", keeps_alive=False),
    _behind_nginx(
        "nginx-greenring",
        (str(GREENRING), "--app={app}", f"--chdir={APPS}", "--uwsgi=127.0.0.1:{port}", "--control=off"),
        (str(GREENRING),),
    ),
    _behind_nginx(
        "nginx-uwsgi-sync",
        (
            "uwsgi", "--plugin", "python3", "--socket", "127.0.0.1:{port}", "--chdir", str(APPS), "--module", "{app}",
            "--processes", "1", "--need-app", "--disable-logging", "--listen", "1024", "--die-on-term",
        ),
        ("/usr/bin/uwsgi", "/usr/lib/uwsgi/plugins/python3_plugin.so"),
    ),
)  # fmt: skip


@contextlib.contextmanager
def running(server, app, directory, cores=DEFAULT_CORES, environment=None):
    """Starts the server on a free port, waits until it answers, and ends it with the context. Yields a Running."""
    port = free_port()
    front = None
    fields = {"port": port, "app": app, "cores": cores, "response": directory / "response.bin"}
    command = [word.format(**fields) for word in server.command]
    log_path = directory / f"{server.name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_prepare, cwd=directory,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    try:
        if server.behind_nginx:
            front = Nginx(f"    location / {{ uwsgi_pass 127.0.0.1:{port}; }}", prepare_process=_prepare_front).start()
        url_port = front.port if front else port
        wait_until_it_answers(process, url_port, log_path)
        yield Running(server, process.pid, f"http://127.0.0.1:{url_port}")
    finally:
        if front:
            front.stop()
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def response_of(url):
    """The exact bytes of one answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(idle_client.REQUEST)
        answer = b""
        while not idle_client.is_whole(answer):
            chunk = connection.recv(4096)
            if not chunk:
                raise RuntimeError(f"{url} closed the connection after {answer!r}")
            answer += chunk
        return answer


def _prepare():
    processes.raise_descriptor_limit()
    processes.pin(processes.SERVER_CPU)()


def _prepare_front():
    processes.raise_descriptor_limit()
    processes.pin(processes.CLIENT_CPU)()


def wait_until_it_answers(process, port, log_path):
    """Raises RuntimeError, with what it wrote, when it ends first or takes too long."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            response_of(f"http://127.0.0.1:{port}")
            return
        except (OSError, RuntimeError):
            time.sleep(0.05)
    raise RuntimeError(f"{' '.join(process.args)} does not answer. Its output:\n{log_path.read_text()[-2000:]}")
