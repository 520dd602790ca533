"""gevent's own API in requests, on one hub: what sleeps, resolves, streams or goes on later holds up nobody.

    GET /sleep?seconds=1           sleeps
    GET /names?name=a&name=b       resolves the names at the same time
    GET /stream?count=5            a line each tenth of a second
    GET /order                     answers at once; the mail is sent a second later
    GET /mails                     how many were sent
"""

from urllib.parse import parse_qs

import gevent
import gevent.pool
import gevent.socket

MAIL_S = 1.0
STREAM_S = 0.1
RESOLVE_TIMEOUT_S = 10

mails = []


def sleep(query):
    gevent.sleep(float(query.get("seconds", ["1"])[0]))
    yield b"slept\n"


def names(query):
    asked = query.get("name", ["localhost"])
    found = [gevent.spawn(gevent.socket.gethostbyname, name) for name in asked]
    gevent.joinall(found, timeout=RESOLVE_TIMEOUT_S)
    for name, greenlet in zip(asked, found):
        yield f"{name} is {greenlet.value or 'unknown'}\n".encode()


def stream(query):
    for number in range(1, int(query.get("count", ["5"])[0]) + 1):
        yield f"line {number}\n".encode()
        gevent.sleep(STREAM_S)


def send_mail(number):
    gevent.sleep(MAIL_S)
    mails.append(number)


def order(query):
    gevent.spawn(send_mail, len(mails) + 1)
    yield b"thank you: the mail is on its way\n"


def sent(query):
    yield f"{len(mails)} sent\n".encode()


PAGES = {"/sleep": sleep, "/names": names, "/stream": stream, "/order": order, "/mails": sent}


def application(environ, start_response):
    page = PAGES.get(environ["PATH_INFO"])
    start_response("200 OK" if page else "404 Not Found", [("Content-Type", "text/plain")])
    return page(parse_qs(environ["QUERY_STRING"])) if page else ["Try {}\n".format(", ".join(PAGES)).encode()]
