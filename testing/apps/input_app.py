"""What applications do with wsgi.input, one path per way. Answers are JSON lists of the pieces that were read."""

import zlib

from routes import Routes, as_json, plain

application = Routes()


def _texts(pieces):
    assert all(type(piece) is bytes for piece in pieces)
    return [piece.decode("latin-1") for piece in pieces]


@application.at("/")
def ignore(environ, start_response):
    """Reads nothing of the body."""
    return plain(start_response, b"ignored")


@application.at("/calls")
def calls(environ, start_response):
    """?read,5;readline;readlines,10;iter: does these calls one after the other."""
    body, pieces = environ["wsgi.input"], []
    for call in environ["QUERY_STRING"].split(";"):
        name, *arguments = call.split(",")
        arguments = [None if a == "None" else int(a) for a in arguments]
        if name == "iter":
            got = list(body)
        elif name == "next":
            got = next(iter(body), b"")
        else:
            got = getattr(body, name)(*arguments)
        pieces.append(_texts(got) if isinstance(got, list) else _texts([got])[0])
    return as_json(start_response, pieces)


@application.at("/count")
def count(environ, start_response):
    """Reads all in pieces of ?N bytes; answers their number of bytes and CRC."""
    size, crc, total = int(environ["QUERY_STRING"] or 65536), 0, 0
    while piece := environ["wsgi.input"].read(size):
        total += len(piece)
        crc = zlib.crc32(piece, crc)
    return as_json(start_response, [total, crc])


@application.at("/echo")
def echo(environ, start_response):
    """Sends each piece back as it arrives, byte by byte when ?1."""
    size = int(environ["QUERY_STRING"] or 65536)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(lambda: environ["wsgi.input"].read(size), b"")


@application.at("/gate")
def gate(environ, start_response):
    """Holds its core until the client has sent the (one byte) body: the way tests keep a handler waiting."""
    byte = environ["wsgi.input"].read(1)
    return plain(start_response, b"gate opened by " + byte)


@application.at("/gated-body")
def gated_body(environ, start_response):
    """Sends "n" after the n-th byte of the body has arrived."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    number = 0
    while environ["wsgi.input"].read(1):
        number += 1
        yield b"%d" % number


_outcomes = []


@application.at("/outcome")
def outcome(environ, start_response):
    """Reads all; what came of it is kept for /outcomes, whether or not the client is still there."""
    try:
        got = environ["wsgi.input"].read()
        _outcomes.append(["read", len(got)])
    except Exception as error:
        _outcomes.append([type(error).__name__, isinstance(error, OSError)])
        raise
    return plain(start_response, b"read")


@application.at("/outcomes")
def outcomes(environ, start_response):
    answer = as_json(start_response, _outcomes)
    _outcomes.clear()
    return answer


@application.at("/after-response")
def after_response(environ, start_response):
    """Keeps wsgi.input beyond the request that it belongs to."""
    kept = getattr(application, "kept", None)
    application.kept = environ["wsgi.input"]
    if kept is None:
        return plain(start_response, b"kept")
    try:
        return plain(start_response, b"got " + kept.read())
    except Exception as error:
        return plain(start_response, b"refused " + type(error).__name__.encode())


@application.at("/errors")
def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("one line to wsgi.errors\n")
    stream.writelines(["and two ", "pieces: \u00e9\u20ac\n"])
    stream.flush()
    return plain(start_response, b"written")
