"""A program for uWSGI's async mode: it waits by the module `uwsgi`, and by nothing else."""

import os
import socket

import uwsgi
from routes import Routes, as_json, plain

application = Routes()
imported = {"ready": uwsgi.ready(), "worker": uwsgi.worker_id()}
after_requests = []
steps = []


def _forked():
    imported["post_fork_hook"] = True


def _exit():
    uwsgi.log("atexit was called")


uwsgi.post_fork_hook = _forked
uwsgi.atexit = _exit
uwsgi.after_req_hook = lambda: after_requests.append(1)


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/sleep")
def sleep(environ, start_response):
    uwsgi.async_sleep(float(environ["QUERY_STRING"]))
    uwsgi.suspend()
    return plain(start_response, b"%d" % uwsgi.ready_fd())


@application.at("/sleep-and-read")
def sleep_and_read(environ, start_response):
    """No timeout of the sleep's is left for the body."""
    uwsgi.async_sleep(0.1)
    uwsgi.suspend()
    return plain(start_response, environ["wsgi.input"].read())


@application.at("/take-turns")
def take_turns(environ, start_response):
    """Two such requests append to one list, each when the other one has."""
    core, steps_each = environ["uwsgi.core"], int(environ["QUERY_STRING"])
    for _ in range(steps_each):
        steps.append(core)
        while steps[-1] == core and len(steps) < 2 * steps_each:
            uwsgi.suspend()
    return as_json(start_response, steps)


@application.at("/wait-fifo")
def wait_fifo(environ, start_response):
    path, seconds = environ["QUERY_STRING"].split(",")
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        uwsgi.wait_fd_read(fd, float(seconds))
        woken = uwsgi.suspend()
        return as_json(start_response, [woken, uwsgi.ready_fd() == fd, (uwsgi.recv(fd) or b"").decode()])
    finally:
        uwsgi.close(fd)


@application.at("/wait-two")
def wait_two(environ, start_response):
    quiet, other = socket.socketpair()
    busy, talker = socket.socketpair()
    with quiet, other, busy, talker:
        uwsgi.wait_fd_read(quiet.fileno(), 5)
        uwsgi.wait_fd_read(busy.fileno())
        talker.send(b"x")
        uwsgi.suspend()
        return as_json(start_response, uwsgi.ready_fd() == busy.fileno())


@application.at("/wait-wrong")
def wait_wrong(environ, start_response):
    kinds = []
    for fd in (-1, 99999):
        try:
            uwsgi.wait_fd_read(fd, 1)
        except OSError as error:
            kinds.append(error.errno)
    first, second = socket.socketpair()
    with second:
        uwsgi.wait_fd_read(first.fileno(), 1)
        first.close()
        try:
            uwsgi.suspend()
        except OSError as error:
            kinds.append(error.errno)
    return as_json(start_response, kinds)


@application.at("/yield-waits")
def yield_waits(environ, start_response):
    """As in uWSGI the server waits between two items."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    first, second = socket.socketpair()
    with first, second:
        yield environ["x-wsgiorg.fdevent.readable"](first.fileno(), 0.2)
        yield b"%r %r " % (environ["x-wsgiorg.fdevent.timeout"], environ["uwsgi.ready_fd"])
        second.send(b"x")
        yield environ["x-wsgiorg.fdevent.readable"](first.fileno(), 5)
        yield b"%r %r" % (environ["x-wsgiorg.fdevent.timeout"], environ["uwsgi.ready_fd"] == first.fileno())


@application.at("/connect")
def connect(environ, start_response):
    """To itself, both ways."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        fd = uwsgi.async_connect(address)
        uwsgi.wait_fd_write(fd, 5)
        uwsgi.suspend()
        told = [uwsgi.ready_fd() == fd, uwsgi.is_connected(fd)]
        peer, _ = listener.accept()
        told.append(uwsgi.send(fd, b"over"))
        told.append(uwsgi.recv(peer.fileno(), 2).decode())
        uwsgi.close(fd)
        peer.close()
        fd = uwsgi.connect(address)
        told.append(uwsgi.is_connected(fd))
        uwsgi.close(fd)
    told += [uwsgi.connect(address, 1), uwsgi.connect("/nowhere"), uwsgi.async_connect("/nowhere")]
    return as_json(start_response, told)


@application.at("/chunks")
def chunks(environ, start_response):
    """A line for each chunk, as it comes; NOTHING YET where the rest has not come when it was asked for at once."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(repr(uwsgi.chunked_read_nb()).encode() + b"\n")
    while chunk := uwsgi.chunked_read(5):
        write(chunk + b"\n")
    return [repr(uwsgi.chunked_read()).encode()]


@application.at("/chunk-timeout")
def chunk_timeout(environ, start_response):
    try:
        uwsgi.chunked_read(0.2)
    except OSError as error:
        return plain(start_response, type(error).__name__.encode())


@application.at("/disconnect")
def disconnect(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"all there is"
    uwsgi.disconnect()
    yield b"dropped"
    uwsgi.async_sleep(0.3)
    uwsgi.suspend()
    uwsgi.log("went on after the disconnect")


@application.at("/disconnect-at-once")
def disconnect_at_once(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    uwsgi.disconnect()
    return [b"dropped"]


@application.at("/client")
def client(environ, start_response):
    """Until the client is gone."""
    fd = uwsgi.connection_fd()
    uwsgi.wait_fd_read(fd, 10)
    uwsgi.suspend()
    uwsgi.log("the client is gone: %s" % (uwsgi.ready_fd() == fd))
    os.close(fd)
    return plain(start_response, b"nobody reads this")


@application.at("/getters")
def getters(environ, start_response):
    rss, vsz = uwsgi.mem()
    return as_json(start_response, {
        "imported": imported, "ready": uwsgi.ready(), "worker_id": uwsgi.worker_id(), "masterpid": uwsgi.masterpid(),
        "numproc": uwsgi.numproc, "cores": uwsgi.cores, "opt": {key: repr(value) for key, value in uwsgi.opt.items()},
        "memory": 1 << 20 < rss < vsz, "requests": uwsgi.total_requests(), "after": len(after_requests),
        "workers": [[worker["id"], worker["pid"] == os.getpid(), worker["status"].decode()]
                    for worker in uwsgi.workers()],
        "env": uwsgi.env is environ, "queue": uwsgi.listen_queue(), "cl": uwsgi.cl(), "reload": uwsgi.reload(),
        "version": [uwsgi.version == environ["uwsgi.version"], environ["uwsgi.node"] == uwsgi.hostname],
    })


@application.at("/logvar")
def logvar(environ, start_response):
    uwsgi.set_logvar("user", 'a "quoted" name')
    uwsgi.set_logvar("user", b"anna")
    uwsgi.set_logvar("plan", "gold")
    return plain(start_response, repr([uwsgi.get_logvar("user"), uwsgi.get_logvar("none")]).encode())


@application.at("/harakiri")
def harakiri(environ, start_response):
    uwsgi.set_user_harakiri(0.3)
    if environ["QUERY_STRING"] == "cleared":
        uwsgi.set_user_harakiri(0)
    uwsgi.async_sleep(0.8)
    uwsgi.suspend()
    return plain(start_response, b"slept")


@application.at("/absent")
def absent(environ, start_response):
    try:
        uwsgi.cache_get("key")
    except NotImplementedError as error:
        return as_json(start_response, [str(error), hasattr(uwsgi, "cache_get"), hasattr(uwsgi, "websocket_handshake")])
