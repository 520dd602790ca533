"""Streaming in both directions: neither body is ever in memory as a whole.

    curl -N  http://127.0.0.1:8080/count?to=1000000 | tail -1       a response made while it is sent
    curl -T  some-large-file  http://127.0.0.1:8080/measure          an upload measured while it arrives
    curl -NT some-large-file  http://127.0.0.1:8080/shout            both at once
"""

import time
from urllib.parse import parse_qs

HELP = __doc__.encode()


def app(environ, start_response):
    handler = {"/count": count, "/measure": measure, "/shout": shout}.get(environ["PATH_INFO"])
    if handler is None:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(HELP)))])
        return [HELP]
    return handler(environ, start_response)


def pieces(body, size=64 * 1024):
    """What arrives, as it arrives. While the client is slow, this request's green thread is parked and others run."""
    return iter(lambda: body.read(size), b"")


def count(environ, start_response):
    to = int(parse_qs(environ["QUERY_STRING"]).get("to", ["10"])[0])
    start_response("200 OK", [("Content-Type", "text/plain")])
    for first in range(1, to + 1, 1000):
        yield "".join(f"{number}\n" for number in range(first, min(first + 1000, to + 1))).encode()


def measure(environ, start_response):
    begin, size = time.monotonic(), 0
    for piece in pieces(environ["wsgi.input"]):
        size += len(piece)
    seconds = time.monotonic() - begin
    answer = f"{size} bytes in {seconds:.2f} s, {size / 1e6 / max(seconds, 1e-6):.0f} MB/s\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]


def shout(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (piece.upper() for piece in pieces(environ["wsgi.input"]))
