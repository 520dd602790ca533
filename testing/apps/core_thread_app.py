"""What a core that is an OS thread may be in the middle of, and what is raised in it."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time

import greenring
from routes import Routes, as_json, plain

application = Routes()
_library = os.environ.get("OVERFLOW_LIBRARY")
_raised = []  # what ended a view: its class, its text and its attributes
_received = []  # signals
_local = threading.local()


def noting(view):
    """Notes the exception that ends the view, as the view sees it."""
    def noted(environ, start_response):
        try:
            return view(environ, start_response)
        except BaseException as error:
            _raised.append([type(error).__name__, str(error), getattr(error, "seconds", None),
                            getattr(error, "reason", None)])
            raise
    return noted


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/raised")
def raised(environ, start_response):
    told = list(_raised)
    _raised.clear()
    return as_json(start_response, told)


@application.at("/sleep")
@noting
def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"slept")


@application.at("/compute")
@noting
def compute(environ, start_response):
    end = time.monotonic() + float(environ["QUERY_STRING"])
    while time.monotonic() < end:
        sum(range(100))
    return plain(start_response, b"computed")


@application.at("/read")
@noting
def read(environ, start_response):
    return plain(start_response, environ["wsgi.input"].read())


@application.at("/recv")
def recv(environ, start_response):
    """From a socket at which nothing arrives."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.recv(1)
    return plain(start_response, b"unreachable")


@application.at("/stubborn")
def stubborn(environ, start_response):
    """Swallows what is raised in it, for so long."""
    end = time.monotonic() + float(environ["QUERY_STRING"])
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                sum(range(100))
        except BaseException:  # pylint: disable=broad-except
            pass
    return plain(start_response, b"done")


@application.at("/limited")
@noting
def limited(environ, start_response):
    """Its own time, and the client's disconnect, end it."""
    timeout = environ["QUERY_STRING"]
    greenring.set_cancel_on_disconnect(True)
    greenring.set_request_timeout(float(timeout) if timeout else None)
    while True:
        sum(range(100))


@application.at("/own")
def own(environ, start_response):
    """The classes can be raised by the application, with arguments of its own or none."""
    told = []
    for error in (greenring.RequestTimeout("mine"), greenring.RequestTimeout(), greenring.Cancelled()):
        try:
            raise error
        except BaseException as caught:  # pylint: disable=broad-except
            told.append([type(caught).__name__, str(caught), getattr(caught, "seconds", None)])
    return as_json(start_response, told)


# Stacks


@application.at("/lost")
def lost(environ, start_response):
    """C code without end: ?gil holds the GIL, ?nogil has given it up."""
    dll = ctypes.PyDLL if environ["QUERY_STRING"] == "gil" else ctypes.CDLL
    dll(_library).recurse(0)
    return plain(start_response, b"unreachable")


def _deeper(depth):
    return 0 if depth == 0 else max([depth], key=lambda _: _deeper(depth - 1))


@application.at("/recursion")
def recursion(environ, start_response):
    """Python code without end, through C code: a RecursionError like everywhere."""
    try:
        _deeper(10**6)
    except RecursionError as error:
        return plain(start_response, type(error).__name__.encode())
    return plain(start_response, b"done")


# What belongs to the process


@application.at("/fork")
def fork(environ, start_response):
    child = os.fork()
    if child == 0:
        os._exit(7)
    return as_json(start_response, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@application.at("/fork-returns")
def fork_returns(environ, start_response):
    """The child comes back to the server."""
    child = os.fork()
    if child == 0:
        return plain(start_response, b"of the child")
    return as_json(start_response, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@application.at("/subprocess")
def run(environ, start_response):
    return plain(start_response, subprocess.run(["echo", "told"], check=True, capture_output=True).stdout)


@application.at("/signal")
def send(environ, start_response):
    """Its handler runs on Python's main thread, which is none of a core's."""
    os.kill(os.getpid(), signal.SIGUSR2)
    end = time.monotonic() + 10
    while not _received and time.monotonic() < end:
        time.sleep(0.01)
    told = list(_received)
    _received.clear()
    try:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    except ValueError as error:
        told.append(type(error).__name__)
    return as_json(start_response, told)


@application.at("/go")
def go(environ, start_response):
    """Of a function that go() has started: whether it runs on a green thread, and not on the core's OS thread."""
    handle = greenring.go(lambda: (greenring.current() is not None, threading.get_native_id() == os.getpid()))
    green, on_loop = handle.result()
    return as_json(start_response, [green, on_loop, threading.get_native_id() == os.getpid()])


@application.at("/local")
def local(environ, start_response):
    """How often this thread was here; of a thread that it starts: whether that sees it, whether that is green."""
    _local.count = getattr(_local, "count", 0) + 1
    seen = []
    thread = threading.Thread(target=lambda: seen.extend([hasattr(_local, "count"), greenring.current() is not None]))
    thread.start()
    thread.join()
    return as_json(start_response, [threading.get_ident(), _local.count, *seen])


signal.signal(signal.SIGUSR2, lambda *_: _received.append(threading.current_thread() is threading.main_thread()))
