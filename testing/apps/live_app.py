"""Says what it runs on, and behaves differently on some of it: for changes of a pool while it serves.

LIVE_APP_NAME is part of what /who tells; LIVE_APP_REVISION names a file whose content, at import, is too.
"""

import os
import time

import greenring
from routes import Routes, as_json, plain

application = Routes()

_STACK_MAX_BYTES = 256 * 1024  # what /slow-on-large-stacks is fast on


def _revision():
    path = os.environ.get("LIVE_APP_REVISION")
    if not path:
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


REVISION = _revision()
if REVISION == "broken":
    raise ImportError("this revision is broken")


@application.at("/")
def parks(environ, start_response):
    time.sleep(0.005)
    return plain(start_response, str(os.getpid()).encode())


@application.at("/who")
def who(environ, start_response):
    thread = greenring.current()
    return as_json(start_response, {"pid": os.getpid(), "green": thread is not None,
                                    "stack_size": thread.stack_size if thread else 0,
                                    "name": os.environ.get("LIVE_APP_NAME", ""), "revision": REVISION})


@application.at("/hold")
def hold(environ, start_response):
    """Takes ?SECONDS."""
    time.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"held")


@application.at("/fails-on-threads")
def fails_on_threads(environ, start_response):
    time.sleep(0.002)
    return plain(start_response, b"", "200 OK" if greenring.current() else "500 Internal Server Error")


@application.at("/slow-on-large-stacks")
def slow_on_large_stacks(environ, start_response):
    thread = greenring.current()
    time.sleep(0.1 if thread and thread.stack_size > _STACK_MAX_BYTES else 0.002)
    return plain(start_response, b"")
