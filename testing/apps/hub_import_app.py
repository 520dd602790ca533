"""What an application of gevent begins while it is imported: greenlets, timers, a socket that listens.

With IMPORT_WAITS in the environment one of the greenlets has begun before the import ends.
"""

import json
import os
import sys

import gevent
import gevent.lock
import gevent.pool
import gevent.socket

ticks = []
later = []
pool = gevent.pool.Pool(2)
semaphore = gevent.lock.Semaphore(0)


def tick():
    try:
        while True:
            ticks.append(len(ticks))
            gevent.sleep(0.02)
    except gevent.GreenletExit:
        print("the ticks have ended", file=sys.stderr)
        raise


def accept():
    while True:
        connection, _ = listener.accept()
        gevent.spawn(echo, connection)


def echo(connection):
    with connection:
        connection.sendall(b"echo " + connection.recv(100))


def begun():
    gevent.sleep(0)
    later.append("never")


listener = gevent.socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()

gevent.spawn(tick)
gevent.spawn(accept)
gevent.spawn_later(0.2, later.append, "spawned later")
pool.spawn(semaphore.acquire)
if "IMPORT_WAITS" in os.environ:
    gevent.spawn(begun)
    gevent.sleep(0)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["PATH_INFO"]
    if path == "/pool":
        semaphore.release()
        pool.join()
        return [b"joined"]
    if path == "/subprocess":
        import gevent.subprocess

        return [gevent.subprocess.check_output(["echo", "from a child"])]
    return [json.dumps({"ticks": len(ticks), "later": later, "port": listener.getsockname()[1]}).encode()]
