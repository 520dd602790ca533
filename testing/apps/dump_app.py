"""Requests that wait for all kinds of things, for those who look at them from outside."""

import collections
import ctypes
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time

import greenring
from routes import Routes, as_json, plain

application = Routes()
_go = collections.defaultdict(threading.Event)
_locks = collections.defaultdict(threading.Lock)
_pairs = {}

if "DUMP_APP_HANDLER" in os.environ:
    signal.signal(signal.SIGUSR1, lambda number, frame: print("the application's handler", file=sys.stderr, flush=True))


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/go")
def go(environ, start_response):
    """Lets those go who wait for the name."""
    _go[environ["QUERY_STRING"]].set()
    return plain(start_response, b"went")


@application.at("/event")
def wait_for_event(environ, start_response):
    _go[environ["QUERY_STRING"]].wait()
    return plain(start_response, b"waited")


@application.at("/sleep")
def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"slept")


@application.at("/recv")
def receive(environ, start_response):
    """From a listener of its own, over TCP: until /send."""
    name = environ["QUERY_STRING"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    _pairs[name] = server
    with client:
        deep_receive(client)
    return plain(start_response, b"received")


def deep_receive(client):
    client.recv(10)


@application.at("/send")
def send(environ, start_response):
    with _pairs.pop(environ["QUERY_STRING"]) as server:
        server.sendall(b"x")
    return plain(start_response, b"sent")


@application.at("/hold")
def hold(environ, start_response):
    """A lock, until /go."""
    name = environ["QUERY_STRING"]
    with _locks[name]:
        _go[name].wait()
    return plain(start_response, b"held")


@application.at("/lock")
def lock(environ, start_response):
    with _locks[environ["QUERY_STRING"]]:
        return plain(start_response, b"locked")


@application.at("/pair")
def pair(environ, start_response):
    """Two locks, one after the other, with a pause in which another may take the second: "?a,b"."""
    first, second = environ["QUERY_STRING"].split(",")
    take_both(_locks[first], _locks[second])
    return plain(start_response, b"both")


def take_both(first, second):
    with first:
        time.sleep(0.2)
        if second.acquire(timeout=4):
            second.release()


@application.at("/spin")
def spin(environ, start_response):
    end = time.monotonic() + float(environ["QUERY_STRING"])
    while time.monotonic() < end:
        pass
    return plain(start_response, b"spun")


@application.at("/body")
def body(environ, start_response):
    return plain(start_response, environ["wsgi.input"].read())


@application.at("/stuck")
def stuck(environ, start_response):
    """A wait that nobody intercepts: a raw system call, with the GIL (?gil) or without."""
    library = (ctypes.PyDLL if environ["QUERY_STRING"] == "gil" else ctypes.CDLL)(None)
    reader, writer = os.pipe()
    with subprocess.Popen(["sh", "-c", "sleep 2.5; echo"], stdout=writer):
        os.close(writer)
        hang_in_c(library, reader)
    os.close(reader)
    return plain(start_response, b"unstuck")


def hang_in_c(library, fd):
    read = 0 if os.uname().machine == "x86_64" else 63
    library.syscall(read, fd, ctypes.create_string_buffer(1), 1)


@application.at("/fork")
def fork(environ, start_response):
    """A child that gets SIGUSR1; how it ended."""
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGUSR1)
        os._exit(0)
    return as_json(start_response, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


@application.at("/threads")
def threads(environ, start_response):
    return as_json(start_response, [
        thread._asdict() for thread in greenring.threads()])


@application.at("/dump")
def dump(environ, start_response):
    lines = []

    class File:
        write = staticmethod(lines.append)

    text = greenring.dump(file=File)
    assert lines == [text]
    return plain(start_response, text.encode())


@application.at("/dump-from-os-thread")
def dump_elsewhere(environ, start_response):
    """Where there is no scheduler."""
    answers = queue.Queue()

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def main(_):
        try:
            greenring.threads()
        except RuntimeError as error:
            answers.put(str(error))

    thread = ctypes.c_ulong()
    ctypes.CDLL(None).pthread_create(ctypes.byref(thread), None, main, None)
    ctypes.CDLL(None).pthread_join(thread, None)
    return plain(start_response, answers.get().encode())
