"""A handler that blocks for 100 ms, as one that asks a slow service does."""

import time

SECONDS = 0.1
BODY = b"slept"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def application(environ, start_response):
    time.sleep(SECONDS)
    start_response("200 OK", HEADERS)
    return [BODY]
