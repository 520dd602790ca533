"""Asks a slow service over a socket, and lets the other requests run while it waits: wait_fd_read() and suspend().

    GET /?seconds=1              the service's answer, after a second
    GET /?seconds=9&timeout=1    gives up after a second

SERVICE is host:port of service.py.
"""

import os
from urllib.parse import parse_qs

import uwsgi

SERVICE = os.environ.get("SERVICE", "127.0.0.1:9090")
CONNECT_TIMEOUT_S = 3


def ask(seconds, timeout_s):
    """The answer, or None when it did not come in time. OSError: there is no service."""
    fd = uwsgi.async_connect(SERVICE)
    if fd < 0:
        raise OSError(f"no connection to {SERVICE}")
    try:
        uwsgi.wait_fd_write(fd, CONNECT_TIMEOUT_S)
        uwsgi.suspend()
        if uwsgi.ready_fd() != fd or not uwsgi.is_connected(fd):
            raise OSError(f"nobody answers at {SERVICE}")
        uwsgi.send(fd, f"{seconds}\n".encode())
        uwsgi.wait_fd_read(fd, timeout_s)
        uwsgi.suspend()
        return uwsgi.recv(fd) if uwsgi.ready_fd() == fd else None
    finally:
        uwsgi.close(fd)


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    seconds = float(query.get("seconds", ["1"])[0])
    timeout_s = int(query.get("timeout", ["30"])[0])
    try:
        answer = ask(seconds, timeout_s)
    except OSError as error:
        start_response("502 Bad Gateway", [("Content-Type", "text/plain")])
        return [f"{error}\n".encode()]
    start_response("200 OK" if answer else "504 Gateway Timeout", [("Content-Type", "text/plain")])
    return [answer or b"it takes too long\n"]
