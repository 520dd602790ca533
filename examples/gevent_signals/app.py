"""uWSGI's signals under gevent: a timer, a file that is watched, and a job that says when it is done.

    GET  /          what has happened since the start, a line each
    POST /work      starts a job of a second in the background; it sends a signal when it is done

Touch the file WATCHED to see it noticed. Each handler runs in a greenlet of its own and may sleep.
"""

import collections
import os
import tempfile

import gevent
import uwsgi

TICK, CHANGED, WORKED = 1, 2, 3  # numbers of signals, 0 to 255
TICK_S = 1
WATCHED = os.environ.get("WATCHED", os.path.join(tempfile.gettempdir(), "greenring-watched"))

happened = collections.Counter()


def on_tick(signal):
    happened["tick"] += 1


def on_change(signal):
    gevent.sleep(0.1)  # until who writes is done
    happened["the file has changed"] += 1


def on_worked(signal):
    happened["a job is done"] += 1


open(WATCHED, "a").close()
uwsgi.register_signal(TICK, "worker1", on_tick)
uwsgi.register_signal(CHANGED, "worker1", on_change)
uwsgi.register_signal(WORKED, "worker1", on_worked)
uwsgi.add_timer(TICK, TICK_S)
uwsgi.add_file_monitor(CHANGED, WATCHED)


def work():
    gevent.sleep(1)
    uwsgi.signal(WORKED)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["REQUEST_METHOD"] == "POST":
        gevent.spawn(work)
        return [b"the job has begun\n"]
    return [f"{what}: {count}\n".encode() for what, count in sorted(happened.items())] or [b"nothing yet\n"]
