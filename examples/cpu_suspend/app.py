"""A loop that computes, and lets the other requests run after each step: thirty at once, each in its turn.

    GET /?steps=100    a line for each tenth of them, while the others compute too
"""

from urllib.parse import parse_qs

import uwsgi

at_work = 0


def primes_below(limit):
    sieve = bytearray([1]) * limit
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number::number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve) - 2


def application(environ, start_response):
    global at_work
    steps = int(parse_qs(environ["QUERY_STRING"]).get("steps", ["100"])[0])
    start_response("200 OK", [("Content-Type", "text/plain")])
    at_work += 1
    most = 0
    try:
        for step in range(1, steps + 1):
            primes = primes_below(1000 + step)
            uwsgi.suspend()
            most = max(most, at_work)
            if step % max(steps // 10, 1) == 0:
                yield f"step {step}: {primes} primes, up to {most} requests at work\n".encode()
    finally:
        at_work -= 1
