"""Go from Python beside greenlet and gevent: what one operation costs, in nanoseconds.

Served, GET /measure answers with what greenring's functions cost (JSON). Run by the interpreter, it prints the same of
greenlet and gevent: in a process of their own, as they are used. Each figure is the median of short runs that take
turns; the loop around the operation is part of it, as it is in any program.
"""

import json
import statistics
import time
from itertools import repeat

try:
    import greenring
except ImportError:  # not in the server: the peers are measured
    import gevent
    import gevent.queue
    import greenlet

RUNS = 15
OPERATIONS = 2_000


def timed(run, operations=OPERATIONS):
    begin_ns = time.perf_counter_ns()
    run(operations)
    return (time.perf_counter_ns() - begin_ns) / operations


# Each function does its operation `count` times.


def greenring_yield(count):
    """There and back: two green threads yield to each other."""

    def other(count):
        yield_ = greenring.yield_
        for _ in repeat(None, count):
            yield_()

    handle = greenring.go(other, count)
    yield_ = greenring.yield_
    for _ in repeat(None, count):
        yield_()
    handle.join()


def greenlet_switch(count):
    """There and back."""

    def other():
        switch = main.switch
        while True:
            switch()

    main = greenlet.getcurrent()
    switch = greenlet.greenlet(other).switch
    for _ in repeat(None, count):
        switch()


def gevent_sleep(count):
    """To the hub and to the other, and the same way back."""

    def other():
        for _ in repeat(None, count):
            gevent.sleep(0)

    spawned = gevent.spawn(other)
    for _ in repeat(None, count):
        gevent.sleep(0)
    spawned.join()


def nothing():
    pass


def greenring_go(count):
    go = greenring.go
    for _ in repeat(None, count):
        go(nothing).join()


def greenlet_run(count):
    new = greenlet.greenlet
    for _ in repeat(None, count):
        new(nothing).switch()


def gevent_spawn(count):
    spawn = gevent.spawn
    for _ in repeat(None, count):
        spawn(nothing).join()


def greenring_channel(count):
    """One value through an unbuffered channel: a send and a recv, on two green threads."""
    channel = greenring.Channel()

    def produce():
        send = channel.send
        for i in range(count):
            send(i)

    handle = greenring.go(produce)
    recv = channel.recv
    for _ in repeat(None, count):
        recv()
    handle.join()


def gevent_channel(count):
    channel = gevent.queue.Channel()

    def produce():
        for i in range(count):
            channel.put(i)

    spawned = gevent.spawn(produce)
    for _ in repeat(None, count):
        channel.get()
    spawned.join()


def greenring_select(count):
    """The same, received by a select of two."""
    channel, never = greenring.Channel(), greenring.Channel()

    def produce():
        send = channel.send
        for i in range(count):
            send(i)

    handle = greenring.go(produce)
    select = greenring.select
    for _ in repeat(None, count):
        select(channel, never)
    handle.join()


def greenring_buffer(count):
    """A send and a recv through the buffer, without a switch."""
    channel = greenring.Channel(1)
    send, recv = channel.send, channel.recv
    for i in range(count):
        send(i)
        recv()


OURS = {
    "yield": greenring_yield,
    "go": greenring_go,
    "channel": greenring_channel,
    "select": greenring_select,
    "buffer": greenring_buffer,
}
PEERS = {
    "greenlet_switch": greenlet_switch,
    "gevent_sleep": gevent_sleep,
    "greenlet_run": greenlet_run,
    "gevent_spawn": gevent_spawn,
    "gevent_channel": gevent_channel,
}


def measure(operations):
    runs = {name: [] for name in operations}
    for _ in range(RUNS):
        for name, operation in operations.items():
            runs[name].append(timed(operation))
    return json.dumps({name: statistics.median(values) for name, values in runs.items()})


def application(environ, start_response):
    body = (measure(OURS) if environ["PATH_INFO"] == "/measure" else "{}").encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    print(measure(PEERS))
