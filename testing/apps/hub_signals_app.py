"""uWSGI's signals and locks from greenlets of gevent's hub: those of handlers, and of jobs in the background."""

import json
import os
import socket

import gevent
import uwsgi
from gevent.event import Event

seen = []
may_end = Event()


def handler(number):
    own = gevent.getcurrent()
    seen.append([number, isinstance(own, gevent.Greenlet), own.parent is requests_hub[0]])
    may_end.wait()
    seen.append("ended")


def locked(number):
    uwsgi.lock()
    seen.append("locked")
    uwsgi.unlock()


requests_hub = [None]
uwsgi.register_signal(1, "", handler)
uwsgi.register_signal(2, "", locked)


def send_from_background():
    uwsgi.signal(1)
    uwsgi.suspend()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        os.close(uwsgi.connect("127.0.0.1:%d" % listener.getsockname()[1]))
    seen.append("sent")


def application(environ, start_response):
    requests_hub[0] = gevent.get_hub()
    path = environ["PATH_INFO"]
    if path == "/signal":
        uwsgi.signal(int(environ["QUERY_STRING"]))
    elif path == "/background":
        gevent.spawn(send_from_background)
    elif path == "/end":
        may_end.set()
    elif path == "/hold":
        uwsgi.lock()
        uwsgi.signal(2)
        gevent.sleep(0.5)
        seen.append("unlocks")
        uwsgi.unlock()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
