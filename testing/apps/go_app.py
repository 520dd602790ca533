"""Handlers that start work with greenring.go: for the answer, and beyond it.

?SECONDS says how long something takes; ?PATH is a file that tells the test what has happened.
"""

import os
import threading
import time

import greenring

from routes import Routes, as_json, plain

application = Routes()
_parked, _parked_group = greenring.Channel(), greenring.WaitGroup()
_imported = greenring.go(lambda: greenring.current().name)  # runs when the server serves


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/imported")
def imported(environ, start_response):
    return plain(start_response, _imported.result(timeout=5).encode())


@application.at("/fan")
def fan(environ, start_response):
    """Twenty calls that block, beside each other."""
    seconds = float(environ["QUERY_STRING"])
    handles = [greenring.go(lambda i=i: time.sleep(seconds) or i) for i in range(20)]
    return as_json(start_response, [handle.result() for handle in handles])


@application.at("/pipeline")
def pipeline(environ, start_response):
    """Three stages, joined by channels."""
    numbers, squares = greenring.Channel(4), greenring.Channel(4)

    def produce():
        for i in range(int(environ["QUERY_STRING"])):
            numbers.send(i)
        numbers.close()

    def square():
        for number in numbers:
            time.sleep(0.001)
            squares.send(number * number)

    group = greenring.WaitGroup()
    greenring.go(produce)
    for _ in range(4):
        group.go(square)
    greenring.go(lambda: group.wait() and squares.close())
    return as_json(start_response, sum(squares))


def _tell(path, text):
    with open(path, "a") as file:
        file.write(text)


@application.at("/after")
def after(environ, start_response):
    """Answers at once; a second later the file says so."""

    def work(path):
        time.sleep(1)
        _tell(path, "worked")

    greenring.go(work, environ["QUERY_STRING"])
    return plain(start_response, b"accepted")


@application.at("/forever")
def forever(environ, start_response):
    """Starts what ends by cancellation only, and cleans up then: with a wait of its own."""

    def work(path):
        try:
            time.sleep(3600)
        except greenring.Cancelled as error:
            time.sleep(0.1)
            _tell(path, str(error))
            raise

    greenring.go(work, environ["QUERY_STRING"])
    return plain(start_response, b"accepted")


@application.at("/forever-greenring")
def forever_greenring(environ, start_response):
    """The same, in a wait of greenring's own."""

    def work(path):
        try:
            greenring.Channel().recv()
        except greenring.Cancelled as error:
            _tell(path, str(error))
            raise

    greenring.go(work, environ["QUERY_STRING"])
    return plain(start_response, b"accepted")


@application.at("/stubborn")
def stubborn(environ, start_response):
    """Starts what swallows every cancellation."""

    def work():
        while True:
            try:
                greenring.sleep(3600)
            except greenring.Cancelled:
                pass

    greenring.go(work)
    return plain(start_response, b"accepted")


@application.at("/park")
def park(environ, start_response):
    """Starts so many that wait for /release; answers when they do."""
    count = int(environ["QUERY_STRING"])

    def wait():
        return _parked.recv()

    for _ in range(count):
        _parked_group.go(wait)
    while -_parked.balance < count:
        greenring.yield_()
    return plain(start_response, b"parked")


@application.at("/release")
def release(environ, start_response):
    count = -_parked.balance
    for _ in range(count):
        _parked.send(None)
    _parked_group.wait()
    return plain(start_response, str(count).encode())


@application.at("/fail")
def fail(environ, start_response):
    """Starts what fails, and asks for no result."""

    def fails():
        raise KeyError("nobody asks")

    greenring.go(fails)
    return plain(start_response, b"accepted")


@application.at("/thread")
def thread(environ, start_response):
    """An OS thread answers through a channel, and starts a green thread itself."""
    answers = greenring.Channel()

    def work():
        answers.send(greenring.current() is None)
        answers.send(greenring.go(sum, (1, 2, 3)).result())

    started = threading.Thread(target=work)
    started.start()
    got = [answers.recv(timeout=5), answers.recv(timeout=5)]
    started.join()
    return as_json(start_response, got)


@application.at("/spin")
def spin(environ, start_response):
    """Starts what computes for ever, in Python, and cancels it."""

    def compute():
        while True:
            pass

    handle = greenring.go(compute)
    began = not handle.join(timeout=0.1)
    return as_json(start_response, [began, handle.cancel(), handle.join(timeout=5), handle.cancelled()])


@application.at("/fork")
def fork(environ, start_response):
    """What the module says in the child of a fork, where no other green thread is; its exit status."""

    def refused(call, *args, **kwargs):
        try:
            call(*args, **kwargs)
        except RuntimeError as error:
            return "made by fork" in str(error)

    others = []
    handle = greenring.go(others.append, "ran")  # runnable: it must run once, in the parent
    pid = os.fork()
    if pid == 0:
        greenring.sleep(0.01)
        greenring.yield_()
        right = refused(greenring.go, int) and refused(greenring.Channel().recv) and refused(handle.join)
        os._exit(0 if right and not others and greenring.current() is None else 1)
    _, status = os.waitpid(pid, 0)
    return as_json(start_response, [status, others])


@application.at("/select")
def select(environ, start_response):
    """The first of two slow answers wins; the other one is cancelled."""
    fast, slow = greenring.Channel(), greenring.Channel()

    def ask(channel, seconds):
        time.sleep(seconds)
        channel.send(seconds)

    handles = [greenring.go(ask, fast, 0.1), greenring.go(ask, slow, 3600)]
    what, value = greenring.select(fast, slow, timeout=5)
    cancelled = [handle.cancel() for handle in handles]
    ended = handles[1].join(timeout=5)
    return as_json(start_response, [what is fast, value, cancelled[1], ended, handles[1].cancelled()])
