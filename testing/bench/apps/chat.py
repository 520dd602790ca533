"""A chat by long polling, with the standard library alone: every user has a request that blocks until somebody speaks.

    GET  /                           how many users wait, and how many messages were said
    GET  /messages?user=N&after=M    what was said after the first M messages; waits for it, at most WAIT_S
    POST /say                        the text is the body

It knows nothing of the server that runs it: a threading.Condition is what the server, or gevent's patches, make of it.
"""

import json
import threading
from urllib.parse import parse_qs

WAIT_S = 25

changed = threading.Condition()
messages = []  # texts; a message's number is its place, from 1 on
waiting = set()  # users


def status():
    return {"waiting": len(waiting), "said": len(messages)}


def hear(user, after):
    with changed:
        waiting.add(user)
        try:
            changed.wait_for(lambda: len(messages) > after, WAIT_S)
        finally:
            waiting.discard(user)
        return {"messages": messages[after:]}


def say(text):
    with changed:
        messages.append(text)
        changed.notify_all()
        return {"number": len(messages)}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/messages":
        query = parse_qs(environ["QUERY_STRING"])
        answer = hear(int(query["user"][0]), int(query["after"][0]))
    elif path == "/say":
        answer = say(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode())
    else:
        answer = status()
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
