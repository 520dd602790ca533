"""Stacks that are too small: what it costs, and whom.

    GET /python?depth=100000   Python that recurses without end: RecursionError
    GET /c?depth=100           C code that calls Python that calls C code: RecursionError where the stack ends
    GET /guard?depth=1900      C code that recurses by itself, so that nothing but the guard page can stop it
    GET /wait?seconds=2        another request, which is finished whatever the others do
"""

import marshal
import os
import time
from urllib.parse import parse_qs


def in_python(depth):
    return depth and in_python(depth - 1)


def in_c(depth):
    if depth:
        sorted([0], key=lambda _: in_c(depth - 1))


def to_guard(depth):
    """A tuple in a tuple in a tuple: the reader calls itself for each, and counts them only up to 2,000."""
    marshal.loads(b")\1" * depth + b"N")


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    depth = int(query.get("depth", ["100"])[0])
    path, body = environ["PATH_INFO"], "done"
    try:
        if path == "/python":
            in_python(depth)
        elif path == "/c":
            in_c(depth)
        elif path == "/guard":
            to_guard(depth)
        elif path == "/wait":
            time.sleep(float(query.get("seconds", ["2"])[0]))
    except RecursionError as error:
        body = f"RecursionError: {error}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{body}, by process {os.getpid()}\n".encode()]
