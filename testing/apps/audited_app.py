"""What blocks the loop, and what does not. `blocking` is blocking_extension.c, built by the test."""

import hashlib
import threading
import time

import greenring
from routes import Routes, as_json, plain

application = Routes()
_content = b"x" * (64 << 20)


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/blocking/")
def call_blocking(environ, start_response):
    """/blocking/FUNCTION?SECONDS"""
    import blocking
    function = getattr(blocking, environ["PATH_INFO"].rpartition("/")[2])
    function(float(environ["QUERY_STRING"]))  # the line that blocks
    return plain(start_response, b"blocked")


@application.at("/hash")
def hash_(environ, start_response):
    return plain(start_response, hashlib.sha256(_content).hexdigest().encode())


@application.at("/other-thread")
def other_thread(environ, start_response):
    """An OS thread has the GIL for long while this waits for it."""
    import blocking
    began = threading.Event()

    def work():
        began.set()
        blocking.compute_with_gil(float(environ["QUERY_STRING"]))

    thread = threading.Thread(target=work)
    thread.start()
    began.wait()
    for _ in range(1000):
        pass
    thread.join()
    return plain(start_response, b"waited")


@application.at("/well-behaved")
def well_behaved(environ, start_response):
    """Waits, computes in Python and in short calls of C, and locks."""
    time.sleep(0.05)
    end, numbers = time.monotonic() + 0.1, []
    while time.monotonic() < end:
        numbers.append(str(len(numbers)))
        hashlib.sha256(b"short").hexdigest()
        sorted(numbers[-100:])
    return plain(start_response, b"behaved")


@application.at("/report")
def report(environ, start_response):
    return as_json(start_response, [list(record) for record in greenring.audit_report()])


@application.at("/off")
def off(environ, start_response):
    try:
        greenring.audit_report()
    except RuntimeError as error:
        return plain(start_response, str(error).encode())
    return plain(start_response, b"on")
