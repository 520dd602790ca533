"""uwsgi.suspend() between two requests: GET /other yields for as long as GET /measure counts its own calls."""

import json
import time

import uwsgi

CALLS = 100_000
HEADERS = [("Content-Type", "application/json")]
HELD_MAX_S = 30

measuring = False
others = 0


def hold():
    """Yields until a measurement has begun and ended."""
    global others
    others += 1
    began = False
    end_s = time.monotonic() + HELD_MAX_S
    while (measuring or not began) and time.monotonic() < end_s:
        began = began or measuring
        yield
    others -= 1


def measure(wanted):
    """Nanoseconds a call, between this request and the `wanted` others that yield too.

    Of the process's CPU time: all there is to do is to compute, and on a busy machine the clock counts others' work.
    """
    global measuring
    end_s = time.monotonic() + HELD_MAX_S
    while others < wanted and time.monotonic() < end_s:
        yield
    present = others
    measuring = True
    began_ns = time.process_time_ns()
    for _ in range(CALLS):
        uwsgi.suspend()
    took_ns = time.process_time_ns() - began_ns
    measuring = False
    # A round is one call of each.
    return {"others": present, "call_ns": took_ns / CALLS / (present + 1)}


def application(environ, start_response):
    """A generator: uWSGI resumes a bare suspend() in nothing else."""
    start_response("200 OK", HEADERS)
    path = environ["PATH_INFO"]
    if path == "/other":
        for _ in hold():
            uwsgi.suspend()
        yield b"{}"
    elif path == "/measure":
        steps = measure(int(environ["QUERY_STRING"] or 1))
        while True:
            try:
                next(steps)
            except StopIteration as done:
                yield json.dumps(done.value).encode()
                return
            uwsgi.suspend()
    else:
        yield b"{}"
