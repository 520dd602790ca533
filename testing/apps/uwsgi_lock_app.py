"""uwsgi's locks and signals where there is no master."""

import time

import uwsgi
from routes import Routes, as_json, plain

application = Routes()


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/lock")
def lock(environ, start_response):
    """When it had the lock, and when it gave it back."""
    uwsgi.lock(3)
    began = time.monotonic()
    time.sleep(float(environ["QUERY_STRING"]))
    ended = time.monotonic()
    uwsgi.unlock(3)
    return as_json(start_response, [began, ended])


def use_decorators():
    import uwsgidecorators


@application.at("/signals")
def signals(environ, start_response):
    errors = []
    for call, *arguments in ((uwsgi.register_signal, 1, "", print), (uwsgi.signal, 1), (uwsgi.add_timer, 1, 1),
                             (uwsgi.add_cron, 1, -1, -1, -1, -1, -1), (uwsgi.signal_wait, 1), (use_decorators,)):
        try:
            call(*arguments)
        except Exception as error:
            errors.append(type(error).__name__)
    return as_json(start_response, errors)
