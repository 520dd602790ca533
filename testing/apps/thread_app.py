"""What Python has for concurrency, between requests: locks, queues, threads, processes, event loops, signals."""

import asyncio
import collections
import concurrent.futures
import contextvars
import faulthandler
import hashlib
import logging
import multiprocessing
import os
import queue
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import zlib

from routes import Routes, as_json, plain

application = Routes()
_events = collections.defaultdict(threading.Event)
_queues = collections.defaultdict(queue.Queue)
_condition = threading.Condition()
_turn = 0
_lock = threading.Lock()
_recursive_lock = threading.RLock()
_semaphore = threading.BoundedSemaphore(3)
_barrier = threading.Barrier(5)
_inside = collections.Counter()
_local = threading.local()
_variable = contextvars.ContextVar("name", default=None)
_pool = concurrent.futures.ThreadPoolExecutor(4)
_log = logging.getLogger("thread_app")
_log_handler = logging.StreamHandler(sys.stderr)
_log_handler.setFormatter(logging.Formatter("logged: %(message)s"))
_log.addHandler(_log_handler)
_log.setLevel(logging.INFO)
_log.propagate = False
_at_fork = {"parent": 0}

os.register_at_fork(after_in_parent=lambda: _at_fork.update(parent=_at_fork["parent"] + 1))


def _on_signal(number, frame):
    print(f"handler of {signal.Signals(number).name} in {threading.current_thread().name}", file=sys.stderr)


signal.signal(signal.SIGUSR1, _on_signal)


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/sleep")
def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"slept")


# Locks and queues between requests


@application.at("/event-wait")
def event_wait(environ, start_response):
    return as_json(start_response, _events[environ["QUERY_STRING"]].wait(30))


@application.at("/event-set")
def event_set(environ, start_response):
    _events[environ["QUERY_STRING"]].set()
    return plain(start_response, b"set")


@application.at("/event-timeout")
def event_timeout(environ, start_response):
    return as_json(start_response, threading.Event().wait(float(environ["QUERY_STRING"])))


@application.at("/queue-get")
def queue_get(environ, start_response):
    return as_json(start_response, _queues[environ["QUERY_STRING"]].get(timeout=30))


@application.at("/queue-put")
def queue_put(environ, start_response):
    """Its body's lines, to the queue ?NAME."""
    for line in environ["wsgi.input"].read().decode().splitlines():
        _queues[environ["QUERY_STRING"]].put(line)
    return plain(start_response, b"put")


@application.at("/condition")
def condition(environ, start_response):
    """Waits for its turn, ?NUMBER, and gives the next one its turn."""
    global _turn
    number = int(environ["QUERY_STRING"])
    with _condition:
        in_time = _condition.wait_for(lambda: _turn == number, timeout=30)
        _turn += 1
        _condition.notify_all()
    return as_json(start_response, in_time)


def _together(name, seconds):
    """How many are here at the same time, at most, during these seconds."""
    _inside[name] += 1
    time.sleep(seconds)
    together = _inside[name]
    _inside[name] -= 1
    return together


@application.at("/lock")
def lock(environ, start_response):
    """A lock held across a wait keeps others out."""
    with _lock:
        return as_json(start_response, _together("lock", float(environ["QUERY_STRING"])))


@application.at("/recursive-lock")
def recursive_lock(environ, start_response):
    """A recursive one knows its owner among requests."""
    with _recursive_lock, _recursive_lock:
        return as_json(start_response, _together("recursive lock", float(environ["QUERY_STRING"])))


@application.at("/semaphore")
def semaphore(environ, start_response):
    with _semaphore:
        return as_json(start_response, _together("semaphore", float(environ["QUERY_STRING"])))


@application.at("/lock-timeout")
def lock_timeout(environ, start_response):
    held = threading.Lock()
    held.acquire()
    return as_json(start_response, held.acquire(timeout=float(environ["QUERY_STRING"])))


@application.at("/barrier")
def barrier(environ, start_response):
    return as_json(start_response, _barrier.wait(30))


# What belongs to a thread


@application.at("/exception")
def exception(environ, start_response):
    """Sleeps ?SECONDS while it handles an exception of its own."""
    before = sys.exc_info()[1]
    mine = object()
    try:
        raise ValueError(mine)
    except ValueError:
        time.sleep(float(environ["QUERY_STRING"]))
        during = sys.exc_info()[1]
    return as_json(start_response, [before is None, during.args[0] is mine, sys.exc_info()[1] is None])


@application.at("/isolation")
def isolation(environ, start_response):
    """Sets what is per thread to ?NAME, sleeps, and tells what it finds then."""
    name = environ["QUERY_STRING"]
    ident, thread = threading.get_ident(), threading.current_thread()
    _local.name = name
    token = _variable.set(name)
    time.sleep(0.3)
    found = [_local.name, _variable.get(), threading.get_ident() == ident, threading.current_thread() is thread]
    _variable.reset(token)
    return as_json(start_response, found)


@application.at("/ident")
def ident(environ, start_response):
    before = threading.get_ident()
    time.sleep(float(environ["QUERY_STRING"]))
    return as_json(start_response, [before, threading.get_ident(), threading.current_thread().ident])


@application.at("/recursion")
def recursion(environ, start_response):
    """Sleeps ?SECONDS 900 calls deep: how deep another request is does not count."""
    def down(depth):
        if depth:
            return 1 + down(depth - 1)
        time.sleep(float(environ["QUERY_STRING"]))
        return 0
    return as_json(start_response, down(900))


# Event loops


@application.at("/asyncio")
def run_asyncio(environ, start_response):
    async def main(seconds):
        loop = asyncio.get_running_loop()
        values = await asyncio.gather(*(asyncio.sleep(seconds, number) for number in range(10)))
        return values, asyncio.get_running_loop() is loop
    return as_json(start_response, asyncio.run(main(float(environ["QUERY_STRING"]))))


@application.at("/asyncio-process")
def asyncio_process(environ, start_response):
    async def main():
        child = await asyncio.create_subprocess_exec("tr", "a-z", "A-Z", stdin=-1, stdout=-1)
        output, _ = await child.communicate(b"through asyncio")
        return output
    return plain(start_response, asyncio.run(main()))


@application.at("/gevent")
def run_gevent(environ, start_response):
    import gevent

    def work(number):
        gevent.sleep(float(environ["QUERY_STRING"]))
        return number

    tasks = [gevent.spawn(work, number) for number in range(10)]
    gevent.joinall(tasks)
    gevent.get_hub().destroy(destroy_loop=True)  # it is this request's thread's own, and holds descriptors
    return as_json(start_response, [task.value for task in tasks])


@application.at("/greenlet")
def run_greenlet(environ, start_response):
    """Two greenlets that hand numbers to each other, with a blocking call in between."""
    import greenlet

    pause_s = float(environ["QUERY_STRING"]) / 10
    seen = []

    def other(value):
        while True:
            seen.append(value)
            time.sleep(pause_s)
            value = here.switch(value + 1)

    here, there = greenlet.getcurrent(), greenlet.greenlet(other)
    value = 0
    for _ in range(10):
        value = there.switch(value)
    there.throw()
    return as_json(start_response, [value, seen])


# Threads and processes of the application's own


@application.at("/threads")
def threads(environ, start_response):
    """Starts ten that sleep, and joins them."""
    seconds, slept = float(environ["QUERY_STRING"]), []

    def work():
        time.sleep(seconds)
        slept.append(threading.get_ident())

    workers = [threading.Thread(target=work) for _ in range(10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return as_json(start_response, [len(slept), len(set(slept)), threading.get_ident() in slept])


@application.at("/pool")
def pool(environ, start_response):
    seconds = float(environ["QUERY_STRING"])

    def work(number):
        time.sleep(seconds)
        return number * number
    return as_json(start_response, list(_pool.map(work, range(4))))


@application.at("/timer")
def timer(environ, start_response):
    done = threading.Event()
    threading.Timer(float(environ["QUERY_STRING"]), done.set).start()
    return as_json(start_response, done.wait(30))


@application.at("/fork")
def fork(environ, start_response):
    """The child sleeps ?SECONDS in plain system calls, and tells through a pipe."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            time.sleep(float(environ["QUERY_STRING"]))
            with _recursive_lock:
                os.write(writer, b"told by the child")
        finally:
            os._exit(7)
    os.close(writer)
    with open(reader, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return as_json(start_response, [told, os.waitstatus_to_exitcode(status), _at_fork["parent"] > 0])


@application.at("/fork-terminated")
def fork_terminated(environ, start_response):
    """A child that sleeps gets SIGTERM, whose handler in the parent is the server's."""
    child = os.fork()
    if child == 0:
        try:
            time.sleep(30)
        finally:
            os._exit(1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    return as_json(start_response, os.waitstatus_to_exitcode(status))


@application.at("/current-thread")
def current_thread(environ, start_response):
    return plain(start_response, repr(threading.current_thread()).encode())


@application.at("/multiprocessing-pool")
def multiprocessing_pool(environ, start_response):
    """Three threads of the pool's own in the parent; its children are ended by SIGTERM."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return as_json(start_response, pool.map(abs, range(-4, 0)))


def _square(number, seconds, results):
    time.sleep(seconds)
    results.put(number * number)


@application.at("/multiprocessing")
def run_multiprocessing(environ, start_response):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    processes = [context.Process(target=_square, args=(number, float(environ["QUERY_STRING"]), results))
                 for number in range(3)]
    for process in processes:
        process.start()
    values = sorted(results.get() for _ in processes)
    for process in processes:
        process.join()
    results.close()
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.close()
    return as_json(start_response, [values, codes])


@application.at("/watchdog")
def watchdog(environ, start_response):
    """faulthandler's thread, which blocks all signals for itself, prints where this request is."""
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback_later(0.05, file=file)
        time.sleep(0.2)
        faulthandler.cancel_dump_traceback_later()
        file.seek(0)
        return as_json(start_response, b"in watchdog" in file.read())


# The standard library, by many at a time


@application.at("/log")
def log(environ, start_response):
    for _ in range(10):
        _log.info("%s %s", environ["QUERY_STRING"], "x" * 100)
        time.sleep(0.001)
    return plain(start_response, b"logged")


@application.at("/print")
def print_lines(environ, start_response):
    for _ in range(10):
        print("printed: " + environ["QUERY_STRING"], file=sys.stderr)
        time.sleep(0.001)
    return plain(start_response, b"printed")


@application.at("/sqlite")
def sqlite(environ, start_response):
    """Adds one to a counter in the file ?PATH in a transaction that others must wait for."""
    connection = sqlite3.connect(environ["QUERY_STRING"], timeout=30, isolation_level=None)
    try:
        connection.execute("create table if not exists counter (value integer)")
        connection.execute("begin immediate")
        (value,) = connection.execute("select coalesce(max(value), 0) from counter").fetchone()
        time.sleep(0.02)
        connection.execute("insert into counter values (?)", (value + 1,))
        connection.execute("commit")
    finally:
        connection.close()
    return as_json(start_response, value + 1)


@application.at("/compute")
def compute(environ, start_response):
    """The GIL is released in most of this."""
    content = environ["QUERY_STRING"].encode() * 100_000
    with tempfile.TemporaryFile() as file:
        file.write(zlib.compress(content))
        file.seek(0)
        again = zlib.decompress(file.read())
    return as_json(start_response, [again == content, hashlib.sha256(again).hexdigest()])
