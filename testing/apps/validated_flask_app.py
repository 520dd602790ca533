"""The Flask application, checked on both sides by wsgiref.validate."""

from wsgiref.validate import validator

from flask_app import app


class ReadWithSize:
    """wsgi.input for Werkzeug, which calls read() without a size; the validator insists on one."""

    def __init__(self, body):
        self._body = body

    def __getattr__(self, name):
        return getattr(self._body, name)

    def __iter__(self):
        return iter(self._body)

    def read(self, size=-1):
        return self._body.read(size)


def _adapted(environ, start_response):
    environ["wsgi.input"] = ReadWithSize(environ["wsgi.input"])
    return app(environ, start_response)


application = validator(_adapted)
