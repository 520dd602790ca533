"""Views of Flask under greenring's decorators, whose error handlers make pages of everything they get."""

import time

from flask import Flask, Response

import greenring

app = Flask(__name__)
_events = []


@app.get("/")
def index():
    return "hello"


@app.get("/events")
def events():
    noted = list(_events)
    _events.clear()
    return noted


@app.errorhandler(Exception)
def on_error(error):
    _events.append(f"handler: {type(error).__name__}")
    return "a page of its own", 500


@app.teardown_request
def on_teardown(error):
    if error is not None:
        _events.append(f"teardown: {type(error).__name__}")


@app.get("/slow/<float:seconds>")
@greenring.request_timeout(0.5)
def slow(seconds):
    """Named by its own name: url_for and Flask's routing see through the decorator."""
    time.sleep(seconds)
    return slow.__name__


@app.get("/cancellable/<float:seconds>")
@greenring.cancel_on_disconnect
def cancellable(seconds):
    time.sleep(seconds)
    return "slept"


@app.get("/stream/<float:seconds>")
@greenring.request_timeout(0.5)
def stream(seconds):
    def pieces():
        yield "first"
        time.sleep(seconds)
        yield "second"
    return Response(pieces(), mimetype="text/plain")
