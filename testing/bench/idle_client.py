"""Opens many keep-alive connections, has each of them served once, and holds them: idle_client.py HOST PORT COUNT.

Prints how many were served. For every line on standard input prints how many are still open; at its end closes them all.
"""

import resource
import selectors
import socket
import sys

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
IN_FLIGHT_MAX = 64  # as the hello scenario: the server sees no burst that it would not see there
TIMEOUT_S = 10


def serve_one(host, port, selector):
    connection = socket.create_connection((host, port), TIMEOUT_S)
    connection.sendall(REQUEST)
    selector.register(connection, selectors.EVENT_READ)
    return connection


def is_whole(response):
    head, separator, body = response.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return True


def open_all(host, port, count):
    selector = selectors.DefaultSelector()
    pending, held, started = {}, [], 0
    while len(held) < count:
        while len(pending) < IN_FLIGHT_MAX and started < count:
            try:
                pending[serve_one(host, port, selector)] = b""
            except OSError:
                return held
            started += 1
        events = selector.select(TIMEOUT_S)
        if not events:
            return held
        for key, _ in events:
            connection = key.fileobj
            try:
                data = connection.recv(4096)
            except OSError:
                data = b""
            pending[connection] += data
            if data and not is_whole(pending[connection]):
                continue
            selector.unregister(connection)
            del pending[connection]
            if not data:
                return held
            connection.setblocking(False)
            held.append(connection)
    return held


def is_open(connection):
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = open_all(host, port, count)
    print(sum(map(is_open, connections)), flush=True)
    for _ in sys.stdin:
        print(sum(map(is_open, connections)), flush=True)


if __name__ == "__main__":
    main()
