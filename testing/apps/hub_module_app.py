"""The module `greenring` from the greenlets of a hub: requests that wait for each other, and for green threads."""

import ctypes
import json
import os
import threading
import time

import greenring

_events = []
_channel = greenring.Channel()
_buffered = greenring.Channel(5)
_group = greenring.WaitGroup()


def application(environ, start_response):
    return _VIEWS.get(environ["PATH_INFO"], _hello)(environ, start_response)


def _answer(start_response, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return [data]


def _hello(environ, start_response):
    return _answer(start_response, b"hello")


def _events_view(environ, start_response):
    events = list(_events)
    _events.clear()
    return _answer(start_response, events)


def _balances(environ, start_response):
    return _answer(start_response, {"channel": _channel.balance, "length": len(_channel), "buffered": len(_buffered)})


def _send(environ, start_response):
    _channel.send(environ["QUERY_STRING"])
    return _answer(start_response, b"sent")


def _receive(environ, start_response):
    try:
        return _answer(start_response, _channel.recv().encode())
    except BaseException as error:
        _events.append(f"{type(error).__name__} in {environ['PATH_INFO']}")
        raise


def _receive_within(environ, start_response):
    try:
        return _answer(start_response, _channel.recv(timeout=float(environ["QUERY_STRING"])).encode())
    except TimeoutError:
        return _answer(start_response, b"timed out")


def _produce(environ, start_response):
    """20 values through both channels, with yields in between."""
    for number in range(20):
        (_channel, _buffered)[number % 2].send(f"{environ['QUERY_STRING']}-{number}")
        if number % 7 == 0:
            greenring.yield_()
    return _answer(start_response, b"sent")


def _consume(environ, start_response):
    return _answer(start_response, [greenring.select(_channel, _buffered)[1] for _ in range(20)])


def _select_within(environ, start_response):
    _, value = greenring.select(_channel, _buffered, timeout=float(environ["QUERY_STRING"]), default="late")
    return _answer(start_response, value.encode())


def _add(environ, start_response):
    _group.add(int(environ["QUERY_STRING"]))
    return _answer(start_response, b"added")


def _done(environ, start_response):
    _group.done()
    return _answer(start_response, b"done")


def _wait(environ, start_response):
    _group.wait()
    return _answer(start_response, b"waited")


def _result(environ, start_response):
    """What a green thread of its own returns, which waits for another request."""
    return _answer(start_response, greenring.go(_channel.recv).result().encode())


def _slow_result(environ, start_response):
    """time.sleep parks the green thread, and nobody else."""
    return _answer(start_response, greenring.go(lambda: time.sleep(0.5) or "slept").result().encode())


def _from_os_thread(environ, start_response):
    """The value comes from a thread of the system, as the native parts of an application have."""
    answers = greenring.Channel()
    thread = threading.Thread(target=lambda: answers.send("from a thread"))
    thread.start()
    value = answers.recv()
    thread.join()
    return _answer(start_response, value.encode())


def _timeout(environ, start_response):
    """Nested blocks: which of them ended what."""
    told = []
    try:
        with greenring.timeout(0.4) as outer:
            try:
                with greenring.timeout(0.1) as inner:
                    _channel.recv()
            except greenring.RequestTimeout as error:
                told.append("inner" if error.timeout is inner else "another")
            with greenring.timeout(30):
                greenring.sleep(20)
    except greenring.RequestTimeout as error:
        told.append("outer" if error.timeout is outer else "another")
    greenring.sleep(0.01)
    return _answer(start_response, told)


def _computing_timeout(environ, start_response):
    try:
        with greenring.timeout(0.2):
            while True:
                sum(range(100))
    except greenring.RequestTimeout:
        return _answer(start_response, b"timed out")


def _body_timeout(environ, start_response):
    try:
        with greenring.timeout(0.2):
            environ["wsgi.input"].read()
    except greenring.RequestTimeout:
        return _answer(start_response, b"timed out")
    return _answer(start_response, b"read")


def _bounded_receive(environ, start_response):
    with greenring.timeout(30):
        return _answer(start_response, _channel.recv(timeout=60).encode())


def _recurse(environ, start_response):
    """C code that recurses without end, built by the test."""
    ctypes.CDLL(os.environ["OVERFLOW_LIBRARY"]).recurse(0)
    return _answer(start_response, b"done")


# ---- gevent's own --------------------------------------------------------------------------------------------------

def _spawned(environ, start_response):
    """Greenlets that gevent has spawned wait as requests do; on the hub itself nobody can."""
    import gevent
    answers = greenring.Channel()
    jobs = [gevent.spawn(lambda: answers.send(answers.recv() + 1)) for _ in range(3)]
    gevent.sleep(0)
    answers.send(1)
    told = {"counted": answers.recv()}

    def without_timeout():
        try:
            with greenring.timeout(1):
                return "entered"
        except RuntimeError as error:
            return str(error)

    told["timeout"] = gevent.spawn(without_timeout).get()

    def on_the_hub():
        try:
            answers.recv()
        except RuntimeError as error:
            told["hub"] = str(error)

    gevent.get_hub().loop.run_callback(on_the_hub)
    gevent.sleep(0.05)
    gevent.joinall(jobs)
    return _answer(start_response, told)


def _gevent_timeout(environ, start_response):
    """gevent.Timeout ends a wait of the module's."""
    import gevent
    with gevent.Timeout(0.1, False):
        _channel.recv()
    return _answer(start_response, {"balance": _channel.balance})


def _background(environ, start_response):
    """Goes on after the response, and waits for a green thread."""
    import gevent

    def later():
        greenring.go(time.sleep, float(environ["QUERY_STRING"])).result()
        print("the background has its result", file=environ["wsgi.errors"], flush=True)

    gevent.spawn(later)
    return _answer(start_response, b"begun")


def _forsaken(environ, start_response):
    """What it waits for never comes."""
    import gevent

    def later():
        try:
            greenring.Channel().recv()
        except gevent.GreenletExit:
            print("GreenletExit in the background", file=environ["wsgi.errors"], flush=True)
            raise

    gevent.spawn(later)
    return _answer(start_response, b"begun")


_VIEWS = {"/events": _events_view, "/balances": _balances, "/send": _send, "/receive": _receive,
          "/receive_within": _receive_within, "/produce": _produce, "/consume": _consume,
          "/select_within": _select_within, "/add": _add, "/done": _done, "/wait": _wait, "/result": _result,
          "/slow_result": _slow_result, "/from_os_thread": _from_os_thread, "/timeout": _timeout,
          "/computing_timeout": _computing_timeout, "/body_timeout": _body_timeout,
          "/bounded_receive": _bounded_receive, "/recurse": _recurse, "/spawned": _spawned,
          "/gevent_timeout": _gevent_timeout, "/background": _background,
          "/forsaken": _forsaken}
