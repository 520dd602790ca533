"""Calls of uWSGI's module, each an expression; GET /?EXPRESSION evaluates one, and tells what it has given or raised.

Runs under uWSGI and here, unchanged. EXPRESSIONS is the list; `uwsgi_calls_app.py` may be imported without a server.
"""

import json
import os
import socket
import time
from urllib.parse import unquote

try:
    import uwsgi
except ImportError:  # in the test, which wants the list
    uwsgi = None

EXPRESSIONS = """
uwsgi.suspend()
uwsgi.green_schedule()
uwsgi.ready_fd()
uwsgi.wait_fd_read(ear(), 1)
uwsgi.wait_fd_write(ear(), 1)
waited(uwsgi.wait_fd_read, ear(b"x"))
waited(uwsgi.wait_fd_read, ear(b"x"), 3)
waited(uwsgi.wait_fd_read, ear(), 1)
waited(uwsgi.wait_fd_read, ear(), 0.2)
waited(uwsgi.wait_fd_read, ear(b"x"), -1)
waited(uwsgi.wait_fd_write, ear(), 3)
waited(uwsgi.wait_fd_read, hung_up(), 3)
uwsgi.wait_fd_read()
uwsgi.wait_fd_read("0")
uwsgi.wait_fd_read(-1)
uwsgi.wait_fd_read(closed())
uwsgi.wait_fd_read(99999)
uwsgi.wait_fd_write(-1)
uwsgi.wait_fd_write(closed())
uwsgi.async_sleep(1)
uwsgi.async_sleep("1")
slept(1)
slept(0.5)
slept(1.9)
kind(uwsgi.async_connect("127.0.0.1:1"))
kind(uwsgi.async_connect(7))
uwsgi.async_connect("/no/such/socket")
uwsgi.connect("127.0.0.1:1")
uwsgi.connect("/no/such/socket")
uwsgi.connect()
uwsgi.is_connected(ear())
uwsgi.is_connected(-1)
uwsgi.is_connected("0")
uwsgi.send(ear(), b"abc")
uwsgi.send(ear(), "abc")
uwsgi.send(-1, b"abc")
uwsgi.send()
uwsgi.recv(ear(b"abc"))
uwsgi.recv(ear(b"abc"), 2)
uwsgi.recv(hung_up())
uwsgi.recv(-1)
uwsgi.recv("0")
uwsgi.close(os.dup(ear()))
uwsgi.close(-1)
uwsgi.close("0")
kind(uwsgi.connection_fd())
kind(uwsgi.request_context())
uwsgi.chunked_read("1")
kind(environ["uwsgi.core"])
kind(environ["uwsgi.version"])
kind(environ["uwsgi.node"])
kind(environ["x-wsgiorg.fdevent.readable"])
kind(environ["x-wsgiorg.fdevent.writable"])
environ["x-wsgiorg.fdevent.timeout"]
kind(environ["wsgi.file_wrapper"])
environ["wsgi.multithread"]
environ["wsgi.multiprocess"]
environ["wsgi.run_once"]
uwsgi.worker_id()
kind(uwsgi.masterpid())
uwsgi.mule_id()
uwsgi.i_am_the_spooler()
kind(uwsgi.request_id())
kind(uwsgi.total_requests())
uwsgi.cl()
uwsgi.ready()
kind(uwsgi.mem())
kind(uwsgi.micros())
kind(uwsgi.listen_queue())
uwsgi.listen_queue(99)
uwsgi.listen_queue("0")
kind(uwsgi.workers())
sorted(set(KEYS) - set(uwsgi.workers()[0]))
uwsgi.workers()[0]["id"]
uwsgi.log("a line")
uwsgi.log()
uwsgi.log(1)
uwsgi.log_this_request()
uwsgi.set_logvar("key", "value")
uwsgi.set_logvar("key")
uwsgi.set_logvar("key", 1)
set_and_get_logvar("value")
uwsgi.get_logvar("no such")
uwsgi.get_logvar()
uwsgi.add_var("KEY", "value")
uwsgi.add_var("KEY")
uwsgi.setprocname("calls")
uwsgi.accepting()
uwsgi.set_user_harakiri(0)
uwsgi.set_user_harakiri("0")
uwsgi.is_locked()
locked()
uwsgi.unlock()
uwsgi.lock(99)
uwsgi.lock("0")
uwsgi.is_locked(99)
uwsgi.register_signal(7, "", print)
uwsgi.register_signal(7, "worker1", print)
uwsgi.register_signal(7, "mule1", print)
uwsgi.register_signal(300, "", print)
uwsgi.register_signal("7", "", print)
uwsgi.signal_registered(250)
uwsgi.signal("7")
uwsgi.add_timer("7", 1)
uwsgi.add_timer(8, 3600)
uwsgi.add_rb_timer(8, 3600)
uwsgi.add_cron(8, 0, 0, 1, 1, -1)
uwsgi.add_file_monitor(8, "/")
kind(uwsgi.opt)
kind(uwsgi.opt["module"])
kind(uwsgi.version)
kind(uwsgi.version_info)
kind(uwsgi.hostname)
uwsgi.numproc
uwsgi.cores
uwsgi.loop
uwsgi.has_threads
kind(uwsgi.sockets)
kind(uwsgi.started_on)
uwsgi.buffer_size
kind(uwsgi.magic_table)
uwsgi.is_a_reload
kind(uwsgi.env)
uwsgi.applications
(uwsgi.SPOOL_OK, uwsgi.SPOOL_RETRY, uwsgi.SPOOL_IGNORE)
uwsgi.no_such_call
hasattr(uwsgi, "cache_get")
hasattr(uwsgi, "websocket_handshake")
hasattr(uwsgi, "spool")
uwsgi.cache_get("key")
uwsgi.mule_msg(b"hello")
uwsgi.sendfile("/no/such/file")
""".strip().splitlines()

KEYS = ("id pid requests delta_requests signals exceptions status rss vsz running_time last_spawn respawn_count tx "
        "avg_rt apps").split()

_kept = []  # sockets, until the next call


def ear(data=b""):
    """A descriptor that `data` can be read from; nobody says more."""
    near, far = socket.socketpair()
    far.send(data)
    _kept.extend([near, far])
    return near.fileno()


def hung_up():
    near, far = socket.socketpair()
    far.close()
    _kept.append(near)
    return near.fileno()


def closed():
    fd = os.dup(1)
    os.close(fd)
    return fd


def waited(register, fd, *timeout):
    """What suspend() returned, and whether `fd` ended the wait, or what ready_fd() is."""
    register(fd, *timeout)
    suspended = uwsgi.suspend()
    return suspended, "ready" if uwsgi.ready_fd() == fd else uwsgi.ready_fd()


def slept(seconds):
    """Whether suspend() took about so long."""
    begin_s = time.monotonic()
    uwsgi.async_sleep(seconds)
    uwsgi.suspend()
    return "long enough" if time.monotonic() - begin_s >= seconds else "too short"


def locked():
    uwsgi.lock()
    was = uwsgi.is_locked()
    uwsgi.unlock()
    return was, uwsgi.is_locked()


def set_and_get_logvar(value):
    uwsgi.set_logvar("key", value)
    return uwsgi.get_logvar("key")


def kind(value):
    """For what differs from one run to the next: its type, and whether a number is negative."""
    return f"negative {type(value).__name__}" if isinstance(value, int) and value < 0 else type(value).__name__


def application(environ, start_response):
    for end in _kept:
        end.close()
    _kept.clear()
    told = evaluate(unquote(environ["QUERY_STRING"]) or "'ready'", environ)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def evaluate(expression, environ):
    if expression not in EXPRESSIONS and expression != "'ready'":
        return "not one of EXPRESSIONS"
    try:
        return repr(eval(expression, globals(), {"environ": environ}))
    except Exception as error:
        return f"raises {type(error).__name__}"
