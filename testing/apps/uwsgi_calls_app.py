"""Calls of uWSGI's module, each an expression; GET /?EXPRESSION evaluates one, and tells what it has given or raised.

Runs under uWSGI and here, unchanged. EXPRESSIONS is the list; `uwsgi_calls_app.py` may be imported without a server.
"""

import inspect
import json
import os
import socket
import tempfile
import time
from urllib.parse import unquote

try:
    import uwsgi
except ImportError:  # in the test, which wants the list
    uwsgi = None

EXPRESSIONS = """
uwsgi.suspend()
uwsgi.green_schedule()
uwsgi.suspend(1)
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
waited_for_two()
yielded(environ, "x-wsgiorg.fdevent.readable", ear(b"x"), 3)
yielded(environ, "x-wsgiorg.fdevent.readable", ear(), 1)
yielded(environ, "x-wsgiorg.fdevent.writable", ear(), 3)
yielded_suspend(environ)
uwsgi.wait_fd_read()
uwsgi.wait_fd_read("0")
uwsgi.wait_fd_read(ear(), "1")
uwsgi.wait_fd_read(-1)
uwsgi.wait_fd_read(closed())
uwsgi.wait_fd_read(99999)
uwsgi.wait_fd_write()
uwsgi.wait_fd_write("0")
uwsgi.wait_fd_write(-1)
uwsgi.wait_fd_write(closed())
uwsgi.async_sleep(1)
uwsgi.async_sleep(0)
uwsgi.async_sleep(-1)
uwsgi.async_sleep()
uwsgi.async_sleep("1")
slept(1)
slept(0.5)
slept(1.9)
slept(0)
kind(uwsgi.async_connect("127.0.0.1:1"))
kind(uwsgi.async_connect(listening()))
connected(uwsgi.async_connect(listening()))
connected(uwsgi.async_connect("127.0.0.1:1"))
uwsgi.async_connect()
kind(uwsgi.async_connect(7))
uwsgi.async_connect("/no/such/socket")
uwsgi.connect("127.0.0.1:1")
uwsgi.connect("127.0.0.1:1", 1)
uwsgi.connect("127.0.0.1:1", "1")
kind(uwsgi.connect(listening()))
kind(uwsgi.connect(listening(), 1))
uwsgi.is_connected(uwsgi.connect(listening()))
uwsgi.connect(7)
uwsgi.connect("/no/such/socket")
uwsgi.connect()
uwsgi.is_connected(ear())
uwsgi.is_connected(-1)
uwsgi.is_connected("0")
uwsgi.is_connected(closed())
uwsgi.is_connected(os.pipe()[0])
uwsgi.is_connected()
uwsgi.is_connected(uwsgi.connection_fd())
uwsgi.send(ear(), b"abc")
uwsgi.send(ear(), "abc")
uwsgi.send(-1, b"abc")
uwsgi.send(closed(), b"abc")
uwsgi.send("0", b"abc")
uwsgi.send(b"")
uwsgi.send()
uwsgi.recv(ear(b"abc"))
uwsgi.recv(ear(b"abc"), 2)
uwsgi.recv(ear(b"abc"), 0)
uwsgi.recv(ear(b"abc"), -1)
uwsgi.recv(ear(b"abc"), "2")
len(uwsgi.recv(ear(b"x" * 5000), 5000))
uwsgi.recv()
uwsgi.recv(closed())
uwsgi.recv(hung_up())
uwsgi.recv(-1)
uwsgi.recv("0")
uwsgi.close(os.dup(ear()))
uwsgi.close(-1)
uwsgi.close("0")
uwsgi.close(closed())
uwsgi.close()
kind(uwsgi.connection_fd())
kind(uwsgi.request_context())
uwsgi.chunked_read("1")
uwsgi.chunked_read()
uwsgi.chunked_read(2)
uwsgi.chunked_read(0.5)
arrived(uwsgi.chunked_read_nb)
[uwsgi.chunked_read() for _ in range(4)]
[arrived(uwsgi.chunked_read_nb) for _ in range(4)]
uwsgi.disconnect()
kind(environ["uwsgi.core"])
kind(environ["uwsgi.version"])
kind(environ["uwsgi.node"])
kind(environ["x-wsgiorg.fdevent.readable"])
kind(environ["x-wsgiorg.fdevent.writable"])
environ["x-wsgiorg.fdevent.timeout"]
"uwsgi.ready_fd" in environ
environ["x-wsgiorg.fdevent.readable"](-1, 1)
sorted(key for key in environ if key.startswith(("uwsgi.", "x-wsgiorg.")) and key != "uwsgi.ready_fd")
"wsgi.input_terminated" in environ
environ["wsgi.version"]
environ["wsgi.url_scheme"]
environ["uwsgi.version"] == uwsgi.version
environ["uwsgi.node"] == uwsgi.hostname
kind(environ["wsgi.file_wrapper"])
environ["wsgi.multithread"]
environ["wsgi.multiprocess"]
environ["wsgi.run_once"]
uwsgi.worker_id()
uwsgi.worker_id(1)
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
{key: kind(value) for key, value in sorted(uwsgi.workers()[0].items()) if key in KEYS}
(len(uwsgi.workers()), uwsgi.workers()[0]["status"])
[kind(part) for part in uwsgi.mem()]
uwsgi.log("a line")
uwsgi.log()
uwsgi.log(1)
uwsgi.log(b"a line")
uwsgi.log_this_request()
uwsgi.set_logvar("key", "value")
uwsgi.set_logvar("key")
uwsgi.set_logvar("key", 1)
uwsgi.set_logvar("key", b"value")
uwsgi.set_logvar(1, "value")
set_and_get_logvar("value")
uwsgi.get_logvar("no such")
uwsgi.get_logvar()
uwsgi.get_logvar(1)
uwsgi.add_var("KEY", "value")
uwsgi.add_var("KEY")
uwsgi.add_var("KEY", 1)
uwsgi.setprocname("calls")
uwsgi.accepting()
uwsgi.set_user_harakiri(0)
uwsgi.set_user_harakiri("0")
uwsgi.set_user_harakiri(3600)
uwsgi.set_user_harakiri(1.5)
uwsgi.set_user_harakiri()
uwsgi.is_locked()
locked()
uwsgi.unlock()
uwsgi.unlock(99)
uwsgi.unlock("0")
uwsgi.lock(99)
uwsgi.lock("0")
uwsgi.lock(-1)
uwsgi.is_locked(1)
uwsgi.is_locked("0")
uwsgi.is_locked(99)
uwsgi.register_signal(7, "", print)
uwsgi.register_signal(7, "worker1", print)
uwsgi.register_signal(7, "worker", print)
uwsgi.register_signal(7, "worker0", print)
uwsgi.register_signal(7, "workers", print)
uwsgi.register_signal(7, "active-workers", print)
uwsgi.register_signal(7, "worker99", print)
uwsgi.register_signal(7, "spooler", print)
uwsgi.register_signal(7, "mules", print)
uwsgi.register_signal(7, "farm_one", print)
uwsgi.register_signal(7, "nobody", print)
uwsgi.register_signal(7, "w" * 64, print)
uwsgi.register_signal(7, 1, print)
uwsgi.register_signal(7, "", 1)
uwsgi.register_signal(7, "")
uwsgi.register_signal(-1, "", print)
uwsgi.register_signal(7, "mule1", print)
uwsgi.register_signal(300, "", print)
uwsgi.register_signal("7", "", print)
uwsgi.signal_registered(250)
uwsgi.signal_registered(7)
uwsgi.signal_registered("7")
uwsgi.signal_registered()
uwsgi.signal(7)
uwsgi.signal(250)
uwsgi.signal(300)
uwsgi.signal()
uwsgi.signal(7, "127.0.0.1:1")
handled(31, "")
handled(32, "worker1")
handled(33, "workers")
signalled_before()
ticks("add_timer", 1)
ticks("add_ms_timer", 300)
ticks("add_rb_timer", 1)
uwsgi.signal_received()
waited_for_signal()
uwsgi.signal_wait("7")
uwsgi.signal("7")
uwsgi.add_timer("7", 1)
uwsgi.add_timer(8, 3600)
uwsgi.add_timer(8, "3600")
uwsgi.add_timer(8, 3600.5)
uwsgi.add_timer(8)
uwsgi.add_timer(8, -1)
uwsgi.add_timer(300, 3600)
uwsgi.add_ms_timer(8, 3600000)
uwsgi.add_ms_timer("8", 3600000)
uwsgi.add_ms_timer(8)
uwsgi.add_rb_timer(8, 3600)
uwsgi.add_rb_timer(8, 3600, 2)
uwsgi.add_rb_timer(8, 3600, "2")
uwsgi.add_rb_timer("8", 3600)
uwsgi.add_rb_timer(8)
uwsgi.add_cron(8, 0, 0, 1, 1, -1)
uwsgi.add_cron(8, -1, -1, -1, -1, -1)
uwsgi.add_cron(8, -5, -2, -1, -1, -1)
uwsgi.add_cron(8, 99, 0, 1, 1, -1)
uwsgi.add_cron(8, 0, 0)
uwsgi.add_cron("8", 0, 0, 1, 1, -1)
uwsgi.add_file_monitor(8, "/")
uwsgi.add_file_monitor(8, "/no/such/file")
uwsgi.add_file_monitor(8, 7)
uwsgi.add_file_monitor(8)
noticed()
kind(uwsgi.opt)
kind(uwsgi.opt["module"])
uwsgi.opt["async"]
uwsgi.opt["master"]
uwsgi.opt["no-such"]
uwsgi.version.split(b".")[:2]
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
too_many(uwsgi.add_timer, 3600)
too_many(uwsgi.add_file_monitor, "/")
""".strip().splitlines()

KEYS = ("id pid requests delta_requests signals exceptions status rss vsz running_time last_spawn respawn_count tx "
        "avg_rt apps").split()

PATIENT = ("handled(", "ticks(", "noticed(")  # how expressions begin that may take long on a busy machine
BODY = (b"one", b"three")  # the chunks of a request for an expression that reads them

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


def listening():
    """The address of a socket that takes connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    _kept.append(listener)
    return "127.0.0.1:%d" % listener.getsockname()[1]


def waited(register, fd, *timeout):
    """What suspend() returned, and whether `fd` ended the wait, or what ready_fd() is."""
    register(fd, *timeout)
    suspended = uwsgi.suspend()
    return suspended, "ready" if uwsgi.ready_fd() == fd else uwsgi.ready_fd()


def waited_for_two():
    """The first timeout counts, and the descriptor that is ready ends the wait."""
    quiet, ready = ear(), ear(b"x")
    uwsgi.wait_fd_read(quiet, 1)
    uwsgi.wait_fd_read(ready, 3)
    first = uwsgi.suspend(), uwsgi.ready_fd() == ready
    begin_s = time.monotonic()
    uwsgi.wait_fd_read(quiet, 1)
    uwsgi.wait_fd_read(ear(), 9)
    return first, uwsgi.suspend(), time.monotonic() - begin_s < 3


def yielded(environ, wait, fd, seconds):
    """What an application that is a generator is told of a wait between two of its items."""
    yield environ[wait](fd, seconds)
    told = environ["x-wsgiorg.fdevent.timeout"], environ.get("uwsgi.ready_fd") == fd
    yield json.dumps(repr(told)).encode()


def yielded_suspend(environ):
    """A bare suspend() in an application that is a generator."""
    yield b""
    yield json.dumps(repr(uwsgi.suspend())).encode()


def connected(fd):
    """Whether the connection is there once the descriptor is writable."""
    uwsgi.wait_fd_write(fd, 2)
    uwsgi.suspend()
    told = uwsgi.ready_fd() == fd, uwsgi.is_connected(fd)
    uwsgi.close(fd)
    return told


def arrived(read):
    """What a call gives that does not wait, a while later."""
    time.sleep(0.3)
    return read()


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


_signals = []  # those that handlers were called with, since the process began


def came(number, count):
    """Whether the signal has come so often, in ten seconds."""
    for _ in range(10):
        if _signals.count(number) < count:
            uwsgi.async_sleep(1)
            uwsgi.suspend()
    return _signals.count(number) >= count


def handled(number, target):
    uwsgi.register_signal(number, target, _signals.append)
    uwsgi.signal(number)
    return came(number, 1)


def ticks(name, period):
    """What the call gives, and whether the timer's signal comes more than once."""
    number = {"add_timer": 21, "add_ms_timer": 22, "add_rb_timer": 23}[name]
    uwsgi.register_signal(number, "", _signals.append)
    return getattr(uwsgi, name)(number, period), came(number, 2)


def waited_for_signal():
    """By signal_wait(), for one that comes every second."""
    return uwsgi.signal_wait(21), uwsgi.signal_received()


def signalled_before():
    """signal_wait() for a signal that was sent just before."""
    uwsgi.register_signal(34, "", _signals.append)
    uwsgi.signal(34)
    return uwsgi.signal_wait(34), uwsgi.signal_received()


def noticed():
    """Whether a file that is written to is noticed."""
    with tempfile.NamedTemporaryFile() as file:
        uwsgi.register_signal(24, "", _signals.append)
        added = uwsgi.add_file_monitor(24, file.name)
        uwsgi.async_sleep(1)  # until the master watches it
        uwsgi.suspend()
        file.write(b"more")
        file.flush()
        return added, came(24, 1)


def too_many(add, value):
    """What the sixty-fifth of a kind raises, and that the sixty-fourth is taken."""
    for _ in range(70):
        add(8, value)


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
    if "HTTP_TRANSFER_ENCODING" in environ:
        while uwsgi.chunked_read(1):
            pass
    start_response("200 OK", [("Content-Type", "application/json")])
    return told if inspect.isgenerator(told) else [json.dumps(told).encode()]


def evaluate(expression, environ):
    """What it has given or raised, as text; or a generator, which is the response."""
    if expression not in EXPRESSIONS and expression != "'ready'":
        return "not one of EXPRESSIONS"
    try:
        value = eval(expression, globals(), {"environ": environ})
        return value if inspect.isgenerator(value) else repr(value)
    except Exception as error:
        return f"raises {type(error).__name__}"
