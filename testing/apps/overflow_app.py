"""Every way to use up a stack, and handlers beside it that measure whether they notice."""

import atexit
import ctypes
import json
import os
import pickle
import re
import sys
import threading
import time

import greenring
from routes import Routes, as_json, plain

application = Routes()

# Built by the test: C code that calls itself without end, and through a callback.
_library = os.environ.get("OVERFLOW_LIBRARY")


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


def _sort(depth):
    if depth:
        sorted([0], key=lambda _: _sort(depth - 1))


def _nested_list(depth):
    nest = []
    for _ in range(depth):
        nest = [nest]
    return nest


class _Equal:
    """Compares by comparing again, through the C code of a list."""

    def __init__(self, depth):
        self.depth = depth

    def __eq__(self, other):
        return self.depth == 0 or [_Equal(self.depth - 1)] == [_Equal(self.depth - 1)]


class _Repr:
    def __init__(self, depth):
        self.depth = depth

    def __repr__(self):
        return "." if self.depth == 0 else repr([_Repr(self.depth - 1)])


class _Reduce:
    def __init__(self, depth):
        self.depth = depth

    def __reduce__(self):
        return _Reduce, (_Reduce(self.depth - 1) if self.depth else 0,)


def _substitute(depth):
    if depth:
        re.sub("a", lambda _: _substitute(depth - 1) or "b", "a")


def _python(depth):
    return depth and _python(depth - 1)


KINDS = {
    "sorted": _sort,
    "json": lambda depth: json.dumps(_nested_list(depth)),
    "json-loads": lambda depth: json.loads("[" * depth + "]" * depth),
    "eq": lambda depth: _Equal(depth) == _Equal(depth),
    "repr": lambda depth: repr(_Repr(depth)),
    "pickle": lambda depth: pickle.dumps(_Reduce(depth)),
    "re": _substitute,
    "python": _python,
}


def _arguments(environ):
    kind, _, depth = environ["QUERY_STRING"].partition(":")
    return kind, int(depth or 0)


@application.at("/nest")
def nest(environ, start_response):
    """?KIND:DEPTH, not caught."""
    kind, depth = _arguments(environ)
    KINDS[kind](depth)
    return plain(start_response, b"done")


def _end_of(kind, depth):
    """How it ends: the exception's name, or done."""
    try:
        KINDS[kind](depth)
        return "done"
    except RecursionError as error:
        return type(error).__name__


@application.at("/caught")
def caught(environ, start_response):
    """?KIND:DEPTH, three times; tells how each ended."""
    kind, depth = _arguments(environ)
    return as_json(start_response, [_end_of(kind, depth) for _ in range(3)])


@application.at("/caught-and-waits")
def caught_and_waits(environ, start_response):
    """?KIND:DEPTH: overflows, waits, then recurses deeply in Python alone, and overflows again."""
    kind, depth = _arguments(environ)
    ends = []
    for _ in range(3):
        ends.append(_end_of(kind, depth))
        time.sleep(0.01)
        ends.append(_python(900))
    return as_json(start_response, ends)


@application.at("/wait")
def wait(environ, start_response):
    """Waits ?SECONDS in pieces, and tells the longest."""
    end = time.monotonic() + float(environ["QUERY_STRING"])
    longest = 0.0
    while time.monotonic() < end:
        before = time.monotonic()
        time.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    return as_json(start_response, longest)


def _recurse_in_c(kind):
    dll = ctypes.PyDLL if kind == "gil" else ctypes.CDLL
    dll(_library).recurse(0)


@application.at("/pause")
def pause(environ, start_response):
    """Lets the others run for ?SECONDS, whatever the engine."""
    greenring.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"paused")


@application.at("/read")
def read(environ, start_response):
    return plain(start_response, environ["wsgi.input"].read())


@application.at("/lost")
def lost(environ, start_response):
    """C code without end: ?gil holds the GIL, ?nogil has given it up."""
    _recurse_in_c(environ["QUERY_STRING"])
    return plain(start_response, b"unreachable")


@application.at("/lost-in-body")
def lost_in_body(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        yield b"first"
        _recurse_in_c(environ["QUERY_STRING"])
        yield b"unreachable"

    return pieces()


@application.at("/lost-thread")
def lost_thread(environ, start_response):
    """In a thread that a handler has started."""
    threading.Thread(target=_recurse_in_c, args=("gil",), daemon=True).start()
    return plain(start_response, b"started")


@application.at("/lost-go")
def lost_go(environ, start_response):
    """In a function that greenring.go has started: how its handle ends."""
    handle = greenring.go(_recurse_in_c, "gil")
    try:
        handle.result(5)
        return plain(start_response, b"returned")
    except RecursionError as error:
        return plain(start_response, str(error).encode())


@application.at("/hang-at-exit")
def hang_at_exit(environ, start_response):
    """From now on the process does not end by itself: as when its end needs a lock that a lost stack holds."""
    atexit.register(ctypes.PyDLL(_library).hang)
    return plain(start_response, b"hangs")


@application.at("/limit")
def limit(environ, start_response):
    """How deep Python code may call, measured."""
    depth = 0

    def deeper():
        nonlocal depth
        depth += 1
        deeper()

    try:
        deeper()
    except RecursionError:
        pass
    return as_json(start_response, [depth, sys.getrecursionlimit()])


@application.at("/report")
def report(environ, start_response):
    stacks = greenring.stack_report()
    return as_json(start_response, {name: getattr(stacks, name) for name in ("size", "used", "deepest", "overflows", "recommended")})
