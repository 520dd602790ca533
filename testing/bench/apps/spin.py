"""Hello world beside handlers that compute for long, as a report or a thumbnail does."""

import time

SECONDS = 5
BODY = b"Hello, World!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def application(environ, start_response):
    if environ["PATH_INFO"] == "/spin":
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            pass
    start_response("200 OK", HEADERS)
    return [BODY]
