"""What is asked of an application behind a web server that speaks the uwsgi protocol."""

import os
import time
import zlib

import greenring

from routes import Routes, as_json, plain

application = Routes()
_events = []


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/environ")
def show_environ(environ, start_response):
    return as_json(start_response, {key: value for key, value in environ.items() if isinstance(value, (str, bool))})


@application.at("/count")
def count(environ, start_response):
    """Reads all; answers the number of bytes, their CRC, and what was said of them before."""
    crc, total = 0, 0
    while piece := environ["wsgi.input"].read(65536):
        total += len(piece)
        crc = zlib.crc32(piece, crc)
    return as_json(start_response, [total, crc, environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING")])


@application.at("/counted-bytes")
def counted_bytes(environ, start_response):
    """Sends "n" after the n-th byte of the body has arrived."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    number = 0
    while environ["wsgi.input"].read(1):
        number += 1
        yield b"%d" % number


@application.at("/stream")
def stream(environ, start_response):
    """The second piece when the FIFO named by the query has been opened by somebody else."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    while True:
        try:
            os.close(os.open(environ["QUERY_STRING"], os.O_WRONLY | os.O_NONBLOCK))
            break
        except OSError:
            time.sleep(0.02)
    yield b"second"


@application.at("/cut-short")
def cut_short(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"partial"
    raise RuntimeError("raised in the body")


@application.at("/sleep")
def sleep(environ, start_response):
    try:
        time.sleep(float(environ["QUERY_STRING"]))
    except greenring.Cancelled:
        _events.append("cancelled")
        raise
    return plain(start_response, b"slept")


@application.at("/events")
def events(environ, start_response):
    answer = as_json(start_response, _events)
    _events.clear()
    return answer


@application.at("/status/")
def status(environ, start_response):
    """/status/204 and so on."""
    code = environ["PATH_INFO"].rsplit("/", 1)[1]
    start_response(f"{code} Whatever", [("X-Code", code)])
    return [b"a body"] if code not in ("204", "304") else []
