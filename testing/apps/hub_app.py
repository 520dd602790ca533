"""What an application may do on a core that is a greenlet, of gevent's hub or of the server's own."""

import json
import os
import socket
import threading
import time

import greenring

_events = []


def application(environ, start_response):
    return _VIEWS.get(environ["PATH_INFO"], _hello)(environ, start_response)


def _answer(start_response, body, status="200 OK"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return [data]


def _hello(environ, start_response):
    return _answer(start_response, b"hello")


def _identity(environ, start_response):
    """What runs this request, and where."""
    import greenlet
    current = greenlet.getcurrent()
    return _answer(start_response, {"type": type(current).__name__, "base": type(current).__base__.__name__,
                                    "name": getattr(current, "name", None), "in_request": greenring.in_request()})


def _sleep(environ, start_response):
    """The engine's own way to sleep."""
    greenring.sleep(float(environ["QUERY_STRING"]))
    return _answer(start_response, b"slept")


def _gevent_sleep(environ, start_response):
    import gevent
    try:
        gevent.sleep(float(environ["QUERY_STRING"]))
    except BaseException as error:
        _events.append(f"{type(error).__name__} in {environ['PATH_INFO']}")
        raise
    return _answer(start_response, b"slept")


def _block(environ, start_response):
    """The C library's sleep, also where time.sleep is gevent's."""
    import ctypes
    ctypes.CDLL(None).usleep(int(float(environ["QUERY_STRING"]) * 1e6))
    return _answer(start_response, b"blocked")


def _noted_sleep(environ, start_response):
    try:
        greenring.sleep(float(environ["QUERY_STRING"]))
    except BaseException as error:
        _events.append(f"{type(error).__name__} in {environ['PATH_INFO']}")
        raise
    return _answer(start_response, b"slept")


def _compute(environ, start_response):
    end = time.monotonic() + float(environ["QUERY_STRING"])
    try:
        while time.monotonic() < end:
            sum(range(100))
    except BaseException as error:
        _events.append(f"{type(error).__name__} in {environ['PATH_INFO']}")
        raise
    return _answer(start_response, b"computed")


def _yield(environ, start_response):
    """Notes its name between yields."""
    for _ in range(5):
        _events.append(environ["QUERY_STRING"])
        greenring.yield_()
    return _answer(start_response, b"yielded")


def _echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])

    def pieces():
        while data := environ["wsgi.input"].read(10_000):
            yield data

    return pieces()


def _read(environ, start_response):
    try:
        data = environ["wsgi.input"].read()
    except BaseException as error:
        _events.append(f"{type(error).__name__} in {environ['PATH_INFO']}")
        raise
    return _answer(start_response, data)


def _write(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(100):
        write(b"%03d" % number)
    return []


def _stream(environ, start_response):
    """A piece now, and one after the FIFO was written to."""
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        yield b"one"
        greenring.sleep(0.1)
        yield b"two"

    return pieces()


def _big(environ, start_response):
    return _answer(start_response, b"x" * int(environ["QUERY_STRING"]))


def _fail(environ, start_response):
    raise ValueError("on purpose")


def _events_view(environ, start_response):
    events = list(_events)
    _events.clear()
    return _answer(start_response, events)


def _module(environ, start_response):
    told = {}

    def attempt(name, function):
        try:
            told[name] = str(function())
        except Exception as error:  # pylint: disable=broad-except
            told[name] = f"{type(error).__name__}: {error}"

    def timeout():
        with greenring.timeout(5):
            return "entered"

    attempt("yield_", greenring.yield_)
    attempt("sleep", lambda: greenring.sleep(0.001))
    attempt("go", lambda: greenring.go(lambda: 7).result())
    attempt("timeout", timeout)
    attempt("in_request", greenring.in_request)
    attempt("set_request_timeout", lambda: greenring.set_request_timeout(60))
    attempt("set_cancel_on_disconnect", lambda: greenring.set_cancel_on_disconnect(False))
    return _answer(start_response, told)


def _child(environ, start_response):
    """A greenlet that the request has begun by itself is the request's, too."""
    import greenlet

    def run():
        inside = greenring.in_request()
        greenring.sleep(0.01)
        return inside

    return _answer(start_response, greenlet.greenlet(run).switch())


# ---- gevent's own --------------------------------------------------------------------------------------------------

def _background(environ, start_response):
    """Goes on after the response."""
    import gevent

    def later():
        try:
            gevent.sleep(float(environ["QUERY_STRING"]))
            _events.append(f"in the background, in a request: {greenring.in_request()}")
        except gevent.GreenletExit:
            _events.append("exit")
            print("GreenletExit in the background", file=environ["wsgi.errors"], flush=True)
            raise

    gevent.spawn(later)
    return _answer(start_response, b"begun")


def _resolve(environ, start_response):
    """Names, in parallel."""
    import gevent
    from gevent import socket as green_socket
    begin_s = time.monotonic()
    jobs = [gevent.spawn(green_socket.gethostbyname, f"name{number}.slow.test") for number in range(8)]
    gevent.joinall(jobs)
    return _answer(start_response, {"took_s": time.monotonic() - begin_s, "found": [job.value for job in jobs]})


def _fetch(environ, start_response):
    """A page of a server that QUERY_STRING names, by the standard library."""
    from urllib.request import urlopen
    with urlopen(environ["QUERY_STRING"], timeout=20) as page:
        return _answer(start_response, page.read())


def _pool(environ, start_response):
    from gevent.lock import BoundedSemaphore
    from gevent.pool import Pool
    import gevent
    semaphore = BoundedSemaphore(3)

    def work(number):
        with semaphore:
            gevent.sleep(0.01)
            return number * number

    return _answer(start_response, Pool(5).map(work, range(10)))


def _timeout(environ, start_response):
    """gevent.Timeout ends a read of the body."""
    import gevent
    try:
        with gevent.Timeout(0.1):
            environ["wsgi.input"].read()
    except gevent.Timeout:
        return _answer(start_response, b"timed out")
    return _answer(start_response, b"read")


def _lent_input(environ, start_response):
    """Another greenlet reads the body."""
    import gevent
    job = gevent.spawn(environ["wsgi.input"].read)
    job.join()
    return _answer(start_response, job.value)


def _abandoned_input(environ, start_response):
    """The request ends while another greenlet reads its body."""
    import gevent

    def read():
        try:
            environ["wsgi.input"].read()
        except Exception as error:  # pylint: disable=broad-except
            _events.append(type(error).__name__)

    gevent.spawn(read)
    gevent.sleep(0.05)
    return _answer(start_response, b"left")


def _locals(environ, start_response):
    """threading.local and get_ident across a sleep."""
    _thread_local.name = environ["QUERY_STRING"]
    before = threading.get_ident()
    greenring.sleep(0.1)
    return _answer(start_response, {"kept": _thread_local.name == environ["QUERY_STRING"],
                                    "ident": before == threading.get_ident()})


def _subprocess(environ, start_response):
    from gevent import subprocess
    return _answer(start_response, subprocess.check_output(["echo", "from a child"]))


def _patched(environ, start_response):
    return _answer(start_response, {"socket": socket.socket.__module__, "sleep": time.sleep.__module__,
                                    "thread": threading.Thread.start.__module__, "pid": os.getpid()})


def _patched_sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return _answer(start_response, b"slept")


def _threads(environ, start_response):
    """Threads, queues and locks as the standard library has them."""
    import queue
    results = queue.Queue()
    lock = threading.Lock()

    def work(number):
        with lock:
            time.sleep(0.01)
        results.put(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _answer(start_response, sorted(results.get() for _ in threads))


_thread_local = threading.local()

_VIEWS = {"/identity": _identity, "/sleep": _sleep, "/gevent_sleep": _gevent_sleep, "/block": _block,
          "/noted_sleep": _noted_sleep, "/compute": _compute, "/yield": _yield, "/echo": _echo, "/read": _read,
          "/write": _write, "/stream": _stream, "/big": _big, "/fail": _fail, "/events": _events_view,
          "/module": _module, "/child": _child, "/background": _background, "/resolve": _resolve, "/fetch": _fetch,
          "/pool": _pool, "/timeout": _timeout, "/lent_input": _lent_input, "/abandoned_input": _abandoned_input,
          "/locals": _locals, "/subprocess": _subprocess, "/patched": _patched, "/patched_sleep": _patched_sleep,
          "/threads": _threads}
