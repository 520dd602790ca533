"""Requests that end early: views that wait in every way there is, and what each of them did about its end."""

import hashlib
import os
import socket
import threading
import time
import urllib.request

import greenring
import requests

from routes import Routes, as_json, plain

application = Routes()
_events = []  # what ended how, for /events


def _note(text):
    _events.append(text)


def noting(handler):
    """Notes which exception ends the handler, and lets it through."""
    def noted(environ, start_response):
        try:
            return handler(environ, start_response)
        except BaseException as error:
            _note(f"{environ['PATH_INFO']}: {type(error).__name__}")
            raise
    return noted


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/events")
def events(environ, start_response):
    """All that was noted since the last such request."""
    noted = list(_events)
    _events.clear()
    return as_json(start_response, noted)


@application.at("/compute")
def compute(environ, start_response):
    """A neighbour whose answer is right only if nobody disturbed it: reads, sleeps and computes."""
    number = int(environ["QUERY_STRING"])
    digest = hashlib.sha256()
    for step in range(10):
        time.sleep(0.05)
        digest.update(b"%d %d" % (number, step))
    return plain(start_response, digest.hexdigest().encode())


# Ways to wait


@application.at("/sleep")
@noting
def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"slept")


@application.at("/spin")
@noting
def spin(environ, start_response):
    end = time.monotonic() + float(environ["QUERY_STRING"])
    while time.monotonic() < end:
        pass
    return plain(start_response, b"span")


@application.at("/lock")
@noting
def lock(environ, start_response):
    """Waits for a lock that it holds itself."""
    own = threading.Lock()
    own.acquire()
    own.acquire()


@application.at("/event")
@noting
def event(environ, start_response):
    threading.Event().wait()


@application.at("/recv")
@noting
def recv(environ, start_response):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return plain(start_response, ours.recv(1))


@application.at("/urllib")
@noting
def fetch_urllib(environ, start_response):
    with urllib.request.urlopen(environ["QUERY_STRING"]) as response:
        return plain(start_response, response.read())


@application.at("/requests")
@noting
def fetch_requests(environ, start_response):
    return plain(start_response, requests.get(environ["QUERY_STRING"]).content)


@application.at("/upload")
@noting
def upload(environ, start_response):
    return plain(start_response, b"%d" % len(environ["wsgi.input"].read()))


_connections = []  # to PostgreSQL, for the requests that follow


@application.at("/connect")
def connect(environ, start_response):
    """Before a request whose query has a deadline: on a busy machine the import and a connection take their time.

    ?checked: PostgreSQL looks whether its client is still there; else it notices when the query has ended.
    """
    import psycopg2  # only where there is a database

    options = "-c client_connection_check_interval=100ms" if environ["QUERY_STRING"] == "checked" else ""
    _connections.append(psycopg2.connect(os.environ["POSTGRES_DSN"], options=options))
    return plain(start_response, b"connected")


@application.at("/psycopg2")
@noting
def psycopg2_sleep(environ, start_response):
    connection = _connections.pop()
    try:
        with connection.cursor() as cursor:
            cursor.execute("select pg_sleep(%s)", (float(environ["QUERY_STRING"]),))
    finally:
        connection.close()
    return plain(start_response, b"slept")


@application.at("/psycopg2-cancel")
@noting
def psycopg2_cancel(environ, start_response):
    """The clean-up cancels the query, over a connection of its own."""
    connection = _connections.pop()
    try:
        with connection.cursor() as cursor:
            cursor.execute("select pg_sleep(%s)", (float(environ["QUERY_STRING"]),))
    except BaseException:
        connection.cancel()
        raise
    finally:
        connection.close()


# Responses


@application.at("/stream")
def stream(environ, start_response):
    """A piece, then a wait of SECONDS in the generator, then another piece."""
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        try:
            yield b"first"
            time.sleep(float(environ["QUERY_STRING"]))
            yield b"second"
        except BaseException as error:
            _note(f"/stream: {type(error).__name__}")
            raise
    return pieces()


@application.at("/flood")
def flood(environ, start_response):
    """More than any client takes without reading."""
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        try:
            while True:
                yield b"x" * 8192
        finally:
            _note("/flood: closed")
    return pieces()


@application.at("/write")
@noting
def write(environ, start_response):
    send = start_response("200 OK", [("Content-Type", "text/plain")])
    while True:
        send(b"x" * 8192)


class _Closing:
    """An iterable whose close() waits, interruptibly, for SECONDS."""

    def __init__(self, seconds, fail):
        self._seconds, self._fail, self._left = seconds, fail, [b"whole"]

    def __iter__(self):
        return self

    def __next__(self):
        if self._fail:
            time.sleep(60)
        if self._left:
            return self._left.pop()
        raise StopIteration

    def close(self):
        try:
            time.sleep(self._seconds)
            _note("close: done")
        except BaseException as error:
            _note(f"close: {type(error).__name__}")
            raise


@application.at("/close")
def closing(environ, start_response):
    """?SECONDS: the response is whole, close() waits. ?SECONDS,late: the deadline passes first."""
    seconds, _, late = environ["QUERY_STRING"].partition(",")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return _Closing(float(seconds), bool(late))


# What applications make of it


@application.at("/as-500")
def as_500(environ, start_response):
    """As frameworks do with the errors of drivers, only worse."""
    try:
        time.sleep(60)
    except BaseException:
        return plain(start_response, b"database error", "500 Internal Server Error")


@application.at("/except-exception")
def except_exception(environ, start_response):
    """`except Exception` must not swallow it."""
    while True:
        try:
            time.sleep(60)
        except Exception:
            _note("/except-exception: swallowed")


@application.at("/clean-up")
def clean_up(environ, start_response):
    """After the exception I/O works: ?URL is fetched by the clean-up."""
    try:
        time.sleep(60)
    finally:
        _note("clean-up: " + requests.get(environ["QUERY_STRING"]).text)


@application.at("/swallow")
def swallow(environ, start_response):
    """Goes on for ever, whatever is raised in it."""
    while True:
        try:
            time.sleep(60)
        except BaseException as error:
            _note(f"/swallow: {type(error).__name__}")


@application.at("/attributes")
def attributes(environ, start_response):
    try:
        time.sleep(60)
    except greenring.RequestTimeout as error:
        _note(f"{error.seconds:g} s, {isinstance(error, Exception)}")
        raise


# What applications ask for


@application.at("/set")
@noting
def set_timeout(environ, start_response):
    """?TIMEOUT,SECONDS: sleeps SECONDS under a timeout of TIMEOUT, which may be None."""
    timeout, seconds = environ["QUERY_STRING"].split(",")
    greenring.set_request_timeout(None if timeout == "None" else float(timeout))
    time.sleep(float(seconds))
    return plain(start_response, b"slept")


@application.at("/decorated")
@noting
@greenring.request_timeout(0.3)
def decorated(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"slept")


@application.at("/refused")
def refused(environ, start_response):
    """What the setters say where they cannot work."""
    said = []

    def attempt(function, *arguments):
        try:
            function(*arguments)
            said.append("done")
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")

    attempt(greenring.set_request_timeout, 0)
    attempt(greenring.set_request_timeout, -1)
    attempt(greenring.set_request_timeout, "soon")
    thread = threading.Thread(target=attempt, args=(greenring.set_request_timeout, 1))
    thread.start()
    thread.join()
    return as_json(start_response, said)


@application.at("/cancellable")
@noting
@greenring.cancel_on_disconnect
def cancellable(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"slept")


@application.at("/cancellable-psycopg2")
@greenring.cancel_on_disconnect
def cancellable_psycopg2(environ, start_response):
    return psycopg2_sleep(environ, start_response)


@application.at("/not-cancellable")
@noting
def not_cancellable(environ, start_response):
    greenring.set_cancel_on_disconnect(False)
    time.sleep(float(environ["QUERY_STRING"]))
    _note("/not-cancellable: slept")
    return plain(start_response, b"slept")


@application.at("/late-wish")
@noting
def late_wish(environ, start_response):
    """Wants to be cancelled only after SECONDS, when the client is gone already."""
    time.sleep(float(environ["QUERY_STRING"]))
    greenring.set_cancel_on_disconnect(True)
    _note("/late-wish: went on")


@application.at("/reason")
@greenring.cancel_on_disconnect
def reason(environ, start_response):
    try:
        time.sleep(60)
    except greenring.Cancelled as error:
        _note(error.reason)
        raise
