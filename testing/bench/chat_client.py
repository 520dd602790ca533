"""The users of apps/chat.py: chat_client.py HOST PORT USERS.

Each has one request that waits for what is said next; when it is answered the next one is sent at once. Prints a line of
JSON when all of them wait, and for every line "SECONDS RATE" on standard input says RATE messages a second for so long,
and prints what came of it when all users have heard all of them and wait again. At the input's end says one more, for
which all are answered, and leaves, so that the server holds no request whose client is gone.

A message that a user does not hear, or not in its turn, ends the client with the reason and exit status 1.
"""

import functools
import json
import resource
import select
import socket
import sys
import time

import idle_client

QUIET_MAX_S = 10  # without an answer that is due
STATUS_INTERVAL_S = 0.02
RECEIVE_BYTES = 16_384


class Exchange:
    """One request at a time, on a connection that is kept for as long as the server keeps it."""

    def __init__(self, chat, when_answered):
        self._chat = chat
        self._when_answered = when_answered  # called with the body's JSON
        self._connection = None
        self._received = b""
        self.is_idle = True

    def send(self, method, path, body=b""):
        if self._connection is None:
            self._connection = socket.create_connection(self._chat.address, QUIET_MAX_S)
            self._chat.watch(self._connection, self)
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.is_idle = False
        self._connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: chat\r\n{length}\r\n".encode() + body)

    def on_readable(self):
        received = self._connection.recv(RECEIVE_BYTES)
        if not received:
            raise RuntimeError(f"the server closed a connection after {self._received!r}")
        self._received += received
        if idle_client.is_whole(self._received):
            head, _, body = self._received.partition(b"\r\n\r\n")
            self._received = b""
            version, status = head[:8], head[9:12]
            if status != b"200":
                raise RuntimeError(f"the server answered {head.splitlines()[0]!r}")
            if version == b"HTTP/1.0" or b"connection: close" in head.lower():
                self.close()
            self.is_idle = True
            self._when_answered(_parsed(body))

    def close(self):
        if self._connection is not None:
            self._chat.forget(self._connection)
            self._connection.close()
            self._connection = None


@functools.lru_cache(64)  # all users are told the same
def _parsed(body):
    return json.loads(body)


class User:
    """Polls from the start on. Tells the chat each message it hears, and that they come in their order."""

    def __init__(self, chat, number, heard):
        self._chat = chat
        self._number = number
        self._heard = heard
        self._exchange = Exchange(chat, self._hear)
        self._poll()

    def _poll(self):
        self._exchange.send("GET", f"/messages?user={self._number}&after={self._heard}")

    def _hear(self, answer):
        for text in answer["messages"]:
            self._heard += 1
            if text != text_of(self._heard):
                raise RuntimeError(f"user {self._number} heard {text!r} as message {self._heard}")
            self._chat.on_delivery(self._heard)
        if self._chat.is_open:
            self._poll()


def text_of(number):
    return f"This is message {number}, about as long as what people say in a chat."


class Chat:
    def __init__(self, host, port, users):
        self.address = (host, port)
        self.is_open = True
        self._poller = select.epoll()
        self._exchanges = {}
        self._status = Exchange(self, self._on_status)
        self._speaker = Exchange(self, lambda answer: None)
        self._said = None  # how many, with those of clients before this one
        self._waiting = 0
        self._due_s = {}  # message -> when it was to be said
        self._undelivered = 0
        self._latencies_s = []
        self._ask_for_status()
        self._users = [User(self, number, self._said) for number in range(users)]
        self._until_all_wait()

    def watch(self, connection, exchange):
        self._exchanges[connection.fileno()] = exchange
        self._poller.register(connection, select.EPOLLIN)

    def forget(self, connection):
        del self._exchanges[connection.fileno()]
        self._poller.unregister(connection)

    def on_delivery(self, message):
        self._latencies_s.append(time.monotonic() - self._due_s[message])
        self._undelivered -= 1

    def talk(self, seconds, rate):
        """Says them at their times, however long the server takes for those before; returns the figures."""
        self._latencies_s = []
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        due_s = [began_s + number / rate for number in range(round(seconds * rate))]
        for due in due_s:
            while (left_s := due - time.monotonic()) > 0 or not self._speaker.is_idle:
                self._turn(max(left_s, 0) if self._speaker.is_idle else QUIET_MAX_S)
            self._say(due)
        self._until_all_heard()
        elapsed_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
        self._until_all_wait()
        latencies_us = sorted(1e6 * latency for latency in self._latencies_s)
        return {
            "deliveries": len(latencies_us),
            "seconds": elapsed_s,
            "p50_us": latencies_us[len(latencies_us) // 2],
            "p99_us": latencies_us[len(latencies_us) * 99 // 100],
            "client_busy": cpu_s / elapsed_s,
        }

    def end(self):
        self.is_open = False
        self._say(time.monotonic())
        self._until_all_heard()
        for exchange in list(self._exchanges.values()):
            exchange.close()

    def _say(self, due_s):
        self._said += 1
        self._due_s[self._said] = due_s
        self._undelivered += len(self._users)
        self._speaker.send("POST", "/say", text_of(self._said).encode())

    def _until_all_heard(self):
        while self._undelivered > 0 or not self._speaker.is_idle:
            if not self._turn(QUIET_MAX_S):
                raise RuntimeError(f"{self._undelivered} messages were not heard within {QUIET_MAX_S} s")

    def _until_all_wait(self):
        deadline_s = time.monotonic() + QUIET_MAX_S
        while True:
            self._ask_for_status()
            if self._waiting == len(self._users):
                return
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"after {QUIET_MAX_S} s {self._waiting} of {len(self._users)} users wait")
            time.sleep(STATUS_INTERVAL_S)

    def _ask_for_status(self):
        self._status.send("GET", "/")
        while not self._status.is_idle:
            if not self._turn(QUIET_MAX_S):
                raise RuntimeError(f"the server does not say within {QUIET_MAX_S} s how many users wait")

    def _on_status(self, answer):
        self._waiting = answer["waiting"]
        if self._said is None:
            self._said = answer["said"]
        elif answer["said"] != self._said:
            raise RuntimeError(f"the server knows {answer['said']} messages, {self._said} were said")

    def _turn(self, timeout_s):
        """Whether anything came."""
        events = self._poller.poll(timeout_s)
        for descriptor, _ in events:
            if exchange := self._exchanges.get(descriptor):
                exchange.on_readable()
        return bool(events)


def main():
    host, port, users = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        chat = Chat(host, port, users)
        print(json.dumps({"users": users}), flush=True)
        for line in sys.stdin:
            seconds, rate = map(float, line.split())
            print(json.dumps(chat.talk(seconds, rate)), flush=True)
        chat.end()
    except (OSError, RuntimeError) as error:
        sys.exit(f"chat: {error}")


if __name__ == "__main__":
    main()
