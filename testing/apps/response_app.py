"""Responses of every shape that PEP 3333 allows, and those that it forbids. One path each."""

import io
import os
import sys
import tempfile

from routes import Routes, as_json, plain

application = Routes()


@application.at("/")
@application.at("/hello")
def hello(environ, start_response):
    return plain(start_response, b"hello")


# Allowed shapes


@application.at("/list-without-length")
def list_without_length(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one piece"]


@application.at("/empty-list")
def empty_list(environ, start_response):
    start_response("200 OK", [])
    return []


@application.at("/pieces")
def pieces(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"first,", b"", b"second,", b"third"])


@application.at("/pieces-with-length")
def pieces_with_length(environ, start_response):
    start_response("200 OK", [("Content-Length", "15")])
    return iter([b"first,", b"", b"second,th"])


@application.at("/starts-late")
def starts_late(environ, start_response):
    """A generator: start_response is only called when the first piece is asked for."""
    start_response("201 Created", [("Content-Type", "text/plain")])
    yield b"late"


@application.at("/status/")
def status(environ, start_response):
    """/status/204 and so on, with a body that those without one must not send."""
    code = environ["PATH_INFO"].rsplit("/", 1)[1]
    start_response(f"{code} Whatever", [("Content-Type", "text/plain")])
    return [b"a body"] if code not in ("204", "304") else []


@application.at("/odd-headers")
def odd_headers(environ, start_response):
    start_response("200 Fine by me", [("Content-Length", "0"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"),
                                      ("x-lower", "kept"), ("X-Latin", "caf\u00e9"), ("X-Empty", ""),
                                      ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Server", "mine")])
    return []


@application.at("/connection-wishes")
def connection_wishes(environ, start_response):
    return plain(start_response, b"hello", headers=[("Connection", "close"), ("Keep-Alive", "timeout=5")])


@application.at("/write")
def write(environ, start_response):
    send = start_response("200 OK", [("Content-Type", "text/plain")])
    send(b"written,")
    send(b"twice,")
    return [b"returned"]


@application.at("/write-with-length")
def write_with_length(environ, start_response):
    send = start_response("200 OK", [("Content-Length", "12")])
    send(b"hello ")
    send(b"world!")
    return []


# Streaming: each piece must be on its way before the application is asked for the next one


def _wait_for_client(environ):
    """Blocks until the client has opened the FIFO named by the query: the whole process, on purpose."""
    os.close(os.open(environ["QUERY_STRING"], os.O_RDONLY))


@application.at("/stream")
def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    _wait_for_client(environ)
    yield b"second"


@application.at("/stream-write")
def stream_write(environ, start_response):
    send = start_response("200 OK", [("Content-Type", "text/plain")])
    send(b"first")
    _wait_for_client(environ)
    send(b"second")
    return []


@application.at("/large")
def large(environ, start_response):
    """?MEBIBYTES of known bytes."""
    mebibytes = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", str(mebibytes << 20))])
    block = bytes(range(256)) * 256
    return (block for _ in range(mebibytes * 16))


@application.at("/large-at-once")
def large_at_once(environ, start_response):
    mebibytes = int(environ["QUERY_STRING"])
    return plain(start_response, bytes(range(256)) * 4096 * mebibytes)


# exc_info


@application.at("/replaced-before-body")
def replaced_before_body(environ, start_response):
    start_response("200 OK", [("X-From", "first")])
    yield b""
    try:
        raise ValueError("caught")
    except ValueError:
        start_response("503 Replaced", [("X-From", "second"), ("Content-Type", "text/plain")], sys.exc_info())
    yield b"the second one"


@application.at("/replaced-after-body")
def replaced_after_body(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"too late"
    try:
        raise ValueError("raised again by start_response")
    except ValueError:
        start_response("503 Replaced", [], sys.exc_info())
    yield b"never"


@application.at("/started-twice")
def started_twice(environ, start_response):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"never"]


# Broken applications


@application.at("/raises")
def raises(environ, start_response):
    raise RuntimeError("raised before start_response")


@application.at("/raises-after-start")
def raises_after_start(environ, start_response):
    start_response("200 OK", [("X-From", "application")])
    raise RuntimeError("raised after start_response")


@application.at("/raises-in-body")
def raises_in_body(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"partial"
    raise RuntimeError("raised in the body")


@application.at("/raises-in-first")
def raises_in_first(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise RuntimeError("raised before the first piece")
    yield


@application.at("/raises-system-exit")
def raises_system_exit(environ, start_response):
    sys.exit(3)


@application.at("/never-starts")
def never_starts(environ, start_response):
    return [b"no head"]


@application.at("/returns-none")
def returns_none(environ, start_response):
    start_response("200 OK", [])
    return None


@application.at("/yields-text")
def yields_text(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter(["text instead of bytes"])


@application.at("/too-short")
def too_short(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"short"]


@application.at("/too-long")
def too_long(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return iter([b"exact", b" and more"])


_BAD_STARTS = {
    "value-crlf": ("200 OK", [("X-A", "a\r\nX-Injected: yes")]),
    "value-lf": ("200 OK", [("X-A", "a\nX-Injected: yes")]),
    "value-cr": ("200 OK", [("X-A", "a\rb")]),
    "value-nul": ("200 OK", [("X-A", "a\0b")]),
    "value-not-latin-1": ("200 OK", [("X-A", "\u20ac")]),
    "value-bytes": ("200 OK", [("X-A", b"bytes")]),
    "value-int": ("200 OK", [("X-A", 5)]),
    "name-crlf": ("200 OK", [("X-A\r\nX-Injected", "yes")]),
    "name-colon": ("200 OK", [("X-A:", "yes")]),
    "name-space": ("200 OK", [("X A", "yes")]),
    "name-empty": ("200 OK", [("", "yes")]),
    "name-bytes": ("200 OK", [(b"X-A", "yes")]),
    "name-not-ascii": ("200 OK", [("X-\u00e9", "yes")]),
    "status-crlf": ("200 OK\r\nX-Injected: yes", []),
    "status-short": ("20", []),
    "status-word": ("OK", []),
    "status-int": (200, []),
    "status-bytes": (b"200 OK", []),
    "status-1xx": ("101 Switching Protocols", []),
    "headers-none": ("200 OK", None),
    "headers-of-three": ("200 OK", [("X-A", "b", "c")]),
    "transfer-encoding": ("200 OK", [("Transfer-Encoding", "chunked")]),
    "te": ("200 OK", [("TE", "trailers")]),
    "trailer": ("200 OK", [("Trailer", "X-A")]),
    "upgrade": ("200 OK", [("Upgrade", "websocket")]),
    "proxy-authenticate": ("200 OK", [("Proxy-Authenticate", "Basic")]),
    "length-word": ("200 OK", [("Content-Length", "ten")]),
    "length-negative": ("200 OK", [("Content-Length", "-1")]),
    "length-twice": ("200 OK", [("Content-Length", "5"), ("Content-Length", "6")]),
}


@application.at("/bad-starts")
def bad_starts(environ, start_response):
    return as_json(start_response, sorted(_BAD_STARTS))


@application.at("/bad/")
def bad(environ, start_response):
    start_response(*_BAD_STARTS[environ["PATH_INFO"].rsplit("/", 1)[1]])
    return [b"hello"]


# Iterables with close()

_closed = []


class Closing:
    """An iterable that tells /closed when it was closed; `pieces` may raise."""

    def __init__(self, name, pieces):
        self._name, self._pieces = name, pieces

    def __iter__(self):
        return iter(self._pieces)

    def close(self):
        _closed.append(self._name)


def _failing():
    yield b"partial"
    raise RuntimeError("raised while iterated")


def _endless():
    block = b"x" * 65536
    while True:
        yield block


def _reading(environ):
    yield b"go"
    environ["wsgi.input"].read()
    yield b"unreachable when the client is gone"


@application.at("/closing/")
def closing(environ, start_response):
    kind = environ["PATH_INFO"].rsplit("/", 1)[1]
    if kind == "unstarted":
        return Closing(kind, [b"no head"])
    start_response("204 No Content" if kind == "no-content" else "200 OK", [])
    if kind == "close-raises":
        closing = Closing(kind, [b"fine"])
        closing.close = lambda: 1 / 0
        return closing
    return Closing(kind, {"normal": lambda: [b"a", b"b"], "empty": lambda: [], "head": lambda: [b"a"],
                          "no-content": lambda: [], "failing": _failing, "endless": _endless,
                          "reading": lambda: _reading(environ)}[kind]())


@application.at("/closed")
def closed(environ, start_response):
    answer = as_json(start_response, _closed)
    _closed.clear()
    return answer


# wsgi.file_wrapper

_file = tempfile.NamedTemporaryFile(prefix="greenring-e2e-")
_file.write(bytes(range(256)) * 4096)
_file.flush()


class ClosingFile(io.FileIO):
    """A real file that tells /closed."""

    def close(self):
        if not self.closed:
            _closed.append("file")
        super().close()


@application.at("/file")
def file(environ, start_response):
    """?start,length,block: "None" leaves one out."""
    start, length, block = (None if n == "None" else int(n) for n in environ["QUERY_STRING"].split(","))
    opened = ClosingFile(_file.name)
    if start is not None:
        opened.seek(start)
    start_response("200 OK", [("Content-Length", str(length))] if length is not None else [])
    return environ["wsgi.file_wrapper"](opened, *([block] if block else []))


@application.at("/file-buffered")
def file_buffered(environ, start_response):
    """A BufferedReader that has read ahead: its descriptor is further on than its position."""
    opened = open(_file.name, "rb")
    opened.read(10)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](opened)


@application.at("/file-bytesio")
def file_bytesio(environ, start_response):
    opened = io.BytesIO(b"0123456789" * 10000)
    opened.seek(5)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](opened, 1000)


@application.at("/file-pipe")
def file_pipe(environ, start_response):
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](os.fdopen(reader, "rb"))


class OnlyRead:
    """File-like by its read() alone; has neither close() nor fileno()."""

    def __init__(self):
        self._left = [b"only ", b"read"]

    def read(self, size):
        return self._left.pop(0) if self._left else b""


@application.at("/file-only-read")
def file_only_read(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](OnlyRead())


@application.at("/file-iterated")
def file_iterated(environ, start_response):
    """Middleware that iterates over the wrapper itself."""
    start_response("200 OK", [])
    return [piece[:1] for piece in environ["wsgi.file_wrapper"](open(_file.name, "rb"), 1 << 18)]
