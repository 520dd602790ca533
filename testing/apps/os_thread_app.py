"""What an application may do on a core that is an OS thread, and on one that is a green thread."""

import json
import threading
import time

import greenring

_local = threading.local()
_events = []


def application(environ, start_response):
    path = environ["PATH_INFO"]
    view = _VIEWS.get(path, _hello)
    return view(environ, start_response)


def _answer(start_response, body, status="200 OK"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return [data]


def _hello(environ, start_response):
    return _answer(start_response, b"hello")


def _echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])

    def pieces():
        while data := environ["wsgi.input"].read(10_000):
            yield data

    return pieces()


def _sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return _answer(start_response, b"slept")


def _compute(environ, start_response):
    end = time.monotonic() + float(environ["QUERY_STRING"])
    try:
        while time.monotonic() < end:
            sum(range(100))
    except BaseException as error:
        _events.append(type(error).__name__)
        raise
    return _answer(start_response, b"computed")


def _read(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except BaseException as error:
        _events.append(type(error).__name__)
        raise
    return _answer(start_response, b"read")


def _fail(environ, start_response):
    raise ValueError("on purpose")


def _identity(environ, start_response):
    _local.count = getattr(_local, "count", 0) + 1
    return _answer(start_response, {"ident": threading.get_ident(), "native": threading.get_native_id(),
                                    "count": _local.count, "green": greenring.current() is not None})


def _write(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(100):
        write(b"%03d" % number)
    return []


def _events_view(environ, start_response):
    events = list(_events)
    _events.clear()
    return _answer(start_response, events)


def _module(environ, start_response):
    """Everything of greenring, from here: it works, or says why not."""
    told = {}

    def attempt(name, function):
        try:
            told[name] = str(function())
        except Exception as error:  # pylint: disable=broad-except
            told[name] = f"{type(error).__name__}: {error}"

    def channel():
        channel = greenring.Channel(1)
        greenring.go(channel.send, 42)
        return channel.recv()

    def select():
        channel = greenring.Channel()
        greenring.go(channel.send, "selected")
        return greenring.select(channel, timeout=5)[1]

    def timeout():
        with greenring.timeout(5):
            return "entered"

    attempt("yield_", greenring.yield_)
    attempt("sleep", lambda: greenring.sleep(0.001))
    attempt("current", greenring.current)
    attempt("go", lambda: greenring.go(lambda: 7).result())
    attempt("channel", channel)
    attempt("unbuffered", select)
    attempt("timeout", timeout)
    attempt("in_request", greenring.in_request)
    attempt("set_request_timeout", lambda: greenring.set_request_timeout(60))
    attempt("set_cancel_on_disconnect", lambda: greenring.set_cancel_on_disconnect(False))
    attempt("stack_report", greenring.stack_report)
    return _answer(start_response, told)


_VIEWS = {"/echo": _echo, "/sleep": _sleep, "/compute": _compute, "/read": _read, "/fail": _fail,
          "/identity": _identity, "/write": _write, "/events": _events_view, "/module": _module}
