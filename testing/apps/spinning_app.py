"""Handlers that compute: in plain Python, in C code, under locks, in threads of their own, inside other schedulers."""

import asyncio
import importlib
import os
import re
import signal
import sys
import tempfile
import threading
import time

from routes import Routes, as_json, plain

application = Routes()
_lock = threading.Lock()
_spinning = threading.Event()
_handled = []


def _spin(seconds):
    """Runs nothing but bytecode until `seconds` have passed, and returns how many rounds it came to."""
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        rounds += 1
    return rounds


def _seconds(environ):
    return float(environ["QUERY_STRING"])


def _on_signal(number, frame):
    _spin(0.5)
    _handled.append(number)


signal.signal(signal.SIGUSR2, _on_signal)


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/sleep")
def sleep(environ, start_response):
    time.sleep(_seconds(environ))
    return plain(start_response, b"slept")


@application.at("/spin")
def spin(environ, start_response):
    return as_json(start_response, _spin(_seconds(environ)))


@application.at("/forever")
def forever(environ, start_response):
    while True:
        pass


@application.at("/lock")
def lock(environ, start_response):
    """Computes with the lock held."""
    with _lock:
        _spin(_seconds(environ))
    return plain(start_response, b"had the lock")


@application.at("/deleted")
def deleted(environ, start_response):
    """Computes where an object dies."""
    class Mortal:
        def __del__(self):
            rounds.append(_spin(_seconds(environ)))

    rounds = []
    mortal = Mortal()
    del mortal
    return as_json(start_response, rounds[0] > 0)


@application.at("/import")
def import_(environ, start_response):
    """Computes in an import, which holds that module's lock. All requests import the same."""
    with _lock:
        if "slow_module" not in sys.modules and not os.path.isdir(_directory.name + "/slow_module"):
            os.mkdir(_directory.name + "/slow_module")
            with open(_directory.name + "/slow_module/__init__.py", "w") as file:
                file.write("import spinning_app\nrounds = spinning_app._spin(0.5)\n")
            sys.path.append(_directory.name)
            importlib.invalidate_caches()
    import slow_module
    return as_json(start_response, slow_module.rounds > 0)


_directory = tempfile.TemporaryDirectory()


@application.at("/signal")
def signal_(environ, start_response):
    """The handler of a signal computes, on the main thread; this waits for its end."""
    before = len(_handled)
    os.kill(os.getpid(), signal.SIGUSR2)
    while len(_handled) == before:
        time.sleep(0.01)
    return plain(start_response, b"handled")


@application.at("/backtrack")
def backtrack(environ, start_response):
    """Computes in C code that holds the GIL for all of its time, and tells when it began and ended."""
    begin = time.monotonic()
    while time.monotonic() - begin < _seconds(environ):
        assert re.match("(a|a)+$", "a" * 19 + "b") is None
    return as_json(start_response, [begin, time.monotonic()])


@application.at("/one-c-call")
def one_c_call(environ, start_response):
    """One call into C code that takes a while with the GIL held: how long it took."""
    begin = time.monotonic()
    assert re.match("(a|a)+$", "a" * 22 + "b") is None
    return as_json(start_response, time.monotonic() - begin)


@application.at("/threads")
def threads(environ, start_response):
    """Two OS threads and this request compute; each one's rounds."""
    seconds, rounds = _seconds(environ), []
    workers = [threading.Thread(target=lambda: rounds.append(_spin(seconds))) for _ in range(2)]
    for worker in workers:
        worker.start()
    rounds.append(_spin(seconds))
    for worker in workers:
        worker.join()
    return as_json(start_response, rounds)


@application.at("/gevent")
def run_gevent(environ, start_response):
    """Two greenlets of gevent that compute, by turns of their own making."""
    import gevent

    order = []

    def work(name):
        for _ in range(3):
            _spin(_seconds(environ) / 6)
            order.append(name)
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(work, name) for name in "ab"])
    gevent.get_hub().destroy(destroy_loop=True)  # it is this request's thread's own, and holds descriptors
    return as_json(start_response, "".join(order))


@application.at("/asyncio")
def run_asyncio(environ, start_response):
    order = []

    async def work(name):
        for _ in range(3):
            _spin(_seconds(environ) / 6)
            order.append(name)
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(work("a"), work("b"))

    asyncio.run(main())
    return as_json(start_response, "".join(order))


@application.at("/greenlet")
def run_greenlet(environ, start_response):
    """Is preempted inside of a greenlet, again and again, and asks which one it is."""
    import greenlet

    def work(number):
        for _ in range(3):
            me = greenlet.getcurrent()
            _spin(_seconds(environ) / 9)
            seen.append(greenlet.getcurrent() is me and me.parent is here)
            number = here.switch(number + 1)

    here, seen, number = greenlet.getcurrent(), [], 0
    workers = [greenlet.greenlet(work) for _ in range(3)]
    for _ in range(3):
        for worker in workers:
            number = worker.switch(number)
    return as_json(start_response, [number, seen, greenlet.getcurrent() is here])


@application.at("/fork")
def fork(environ, start_response):
    """A child of a process that computes, which computes too."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(7 if _spin(_seconds(environ)) > 0 else 1)
        finally:
            os._exit(2)
    _spin(_seconds(environ))
    _, status = os.waitpid(child, 0)
    return as_json(start_response, os.waitstatus_to_exitcode(status))


@application.at("/stream")
def stream(environ, start_response):
    """Computes between the pieces of its response."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(3):
        _spin(_seconds(environ) / 3)
        yield b"piece"
