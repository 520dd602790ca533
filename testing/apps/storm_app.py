"""Handlers that wait, spin, recurse, are timed out, cancelled and left, all at the same time; each checks that what is
its own stayed its own. The query says what a request does: ?kind=KIND&seed=N&token=T.
"""

import contextvars
import queue
import random
import threading
import time
from urllib.parse import parse_qs

import greenring
from routes import Routes, as_json, plain

application = Routes()

_local = threading.local()
_variable = contextvars.ContextVar("token")
_held = threading.Lock()  # for good
_held.acquire()
_shared = threading.Lock()
_LONG_S = 60

# Plain integers would do: the GIL is given up between instructions of a += 1.
_count_lock = threading.Lock()
counts = {"running": 0, "left": 0}
begun = set()  # tokens of those who wait for their client to leave


def _count(name, change=1):
    with _count_lock:
        counts[name] += change


def _spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(50))


def _wait_in_condition(seconds):
    condition = threading.Condition()
    with condition:
        condition.wait(seconds)


def _wait_in_queue(seconds):
    try:
        queue.Queue().get(timeout=seconds)
    except queue.Empty:
        pass


def _wait_in_channel(seconds):
    try:
        greenring.Channel().recv(timeout=seconds)
    except TimeoutError:
        pass


WAITS = (
    time.sleep,
    greenring.sleep,
    _spin,
    lambda seconds: _held.acquire(timeout=seconds),
    lambda seconds: threading.Event().wait(seconds),
    _wait_in_condition,
    _wait_in_queue,
    _wait_in_channel,
)


def _deep(level):
    return sorted([0, 1], key=lambda _: _deep(level - 1) and 0) if level else [0]


class _Own:
    """What belongs to this request, and is checked after every wait."""

    def __init__(self, token):
        self.token = token
        self._ident = threading.get_ident()
        _local.token = token
        _variable.set(token)

    def check(self):
        assert _local.token == self.token, "threading.local"
        assert _variable.get() == self.token, "contextvars"
        assert threading.get_ident() == self._ident, "get_ident"


def _short_waits(choose, own):
    for _ in range(choose.randint(1, 6)):
        with _shared:
            own.check()
        if choose.random() < 0.5:
            choose.choice(WAITS)(choose.uniform(0, 0.01))
        else:
            greenring.yield_()
        own.check()


def _serve_ok(choose, own):
    _short_waits(choose, own)


def _serve_late(choose, own):
    greenring.set_request_timeout(choose.uniform(0.02, 0.3))
    choose.choice(WAITS)(_LONG_S)


def _serve_caught(choose, own):
    for _ in range(choose.randint(1, 3)):
        started = time.monotonic()
        seconds = choose.uniform(0.01, 0.1)
        try:
            with greenring.timeout(seconds):
                choose.choice(WAITS)(_LONG_S)
            raise AssertionError("the time is over and nobody said so")
        except greenring.RequestTimeout:
            assert time.monotonic() - started >= seconds
        own.check()
        _short_waits(choose, own)  # waiting works again


def _serve_deep(choose, own):
    try:
        _deep(choose.randint(150, 400))
    except RecursionError:
        pass
    own.check()
    _short_waits(choose, own)


def _serve_go(choose, own):
    channel = greenring.Channel(choose.randint(0, 3))

    def produce(first):
        for value in range(first, first + 5):
            channel.send(value)
            if choose.random() < 0.3:
                time.sleep(0.001)

    producers = [greenring.go(produce, first) for first in (0, 5, 10)]
    hopeless = [greenring.go(choose.choice(WAITS), _LONG_S) for _ in range(choose.randint(0, 3))]
    assert sorted(channel.recv() for _ in range(15)) == list(range(15))
    for handle in producers:
        assert handle.join(10)
    for handle in hopeless:
        handle.cancel()
    for handle in hopeless:
        assert handle.join(10), "a cancelled green thread goes on"
    own.check()


def _serve_left(choose, own):
    begun.add(own.token)
    try:
        greenring.set_cancel_on_disconnect(True)
        choose.choice(WAITS)(_LONG_S)
    except greenring.Cancelled as cancelled:
        assert cancelled.reason == "disconnected", cancelled.reason
        own.check()
        _count("left")
        raise


_KINDS = {"ok": _serve_ok, "late": _serve_late, "caught": _serve_caught, "deep": _serve_deep, "go": _serve_go,
          "left": _serve_left}


@application.at("/")
def serve(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    if "kind" not in query:
        return plain(start_response, b"storm")
    token = query["token"][0]
    _count("running")
    try:
        _KINDS[query["kind"][0]](random.Random(int(query["seed"][0])), _Own(token))
        return plain(start_response, token.encode())
    finally:
        _count("running", -1)


@application.at("/counts")
def show_counts(environ, start_response):
    with _count_lock:
        return as_json(start_response, counts)


@application.at("/begun")
def has_begun(environ, start_response):
    return as_json(start_response, environ["QUERY_STRING"] in begun)
