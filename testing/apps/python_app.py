"""Python inside a green thread: what belongs to a thread belongs to the request, and the standard library works."""

import atexit
import contextvars
import subprocess
import sys
import threading
import time

from routes import Routes, as_json, plain

application = Routes()
_local = threading.local()
_variable = contextvars.ContextVar("name")
_background = {"ticks": 0}

atexit.register(lambda: print("atexit has run", file=sys.stderr))


def _tick():
    while True:
        _background["ticks"] += 1
        time.sleep(0.001)


threading.Thread(target=_tick, daemon=True).start()


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/isolation")
def isolation(environ, start_response):
    """Sets everything that is per thread to ?NAME, lets others run in wsgi.input, and tells what it finds then."""
    name = environ["QUERY_STRING"]
    fresh = not hasattr(_local, "name") and _variable.get(None) is None and sys.exc_info() == (None, None, None)
    _local.name = name
    _variable.set(name)
    ident = threading.get_ident()
    try:
        raise ValueError(name)
    except ValueError:
        environ["wsgi.input"].read(1)
        caught = str(sys.exc_info()[1])
    found = [fresh, _local.name, _variable.get(), caught, threading.get_ident() == ident]
    del _local.name
    _variable.set(None)
    return as_json(start_response, found)


@application.at("/lock")
def lock(environ, start_response):
    """An RLock that is held across a wait keeps its owner."""
    held = threading.RLock()
    with held:
        environ["wsgi.input"].read(1)
        with held:
            return plain(start_response, b"twice")


@application.at("/thread")
def thread(environ, start_response):
    results = []
    workers = [threading.Thread(target=lambda: results.append(sum(range(100_000)))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return as_json(start_response, results)


@application.at("/ticks")
def ticks(environ, start_response):
    """How often a thread of the application's own has run."""
    return as_json(start_response, _background["ticks"])


@application.at("/subprocess")
def run(environ, start_response):
    return plain(start_response, subprocess.check_output(["tr", "a-z", "A-Z"], input=b"through a pipe"))


@application.at("/recursion")
def recursion(environ, start_response):
    """?DEPTH nested calls of Python by Python."""
    def down(depth):
        return 0 if depth == 0 else 1 + down(depth - 1)
    return as_json(start_response, down(int(environ["QUERY_STRING"])))


@application.at("/endless-recursion")
def endless_recursion(environ, start_response):
    def down():
        return down()
    try:
        return down()
    except RecursionError:
        return plain(start_response, b"RecursionError")


@application.at("/deep-c-recursion")
def deep_c_recursion(environ, start_response):
    """?DEPTH nested calls of Python by C by Python: these use the green thread's stack."""
    def down(depth):
        return sorted([depth], key=lambda _: down(depth - 1))[0] if depth else 0
    return as_json(start_response, down(int(environ["QUERY_STRING"])))
