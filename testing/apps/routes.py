"""The smallest router that the test applications need: one WSGI handler per path.

    application = Routes()

    @application.at("/hello")
    def hello(environ, start_response):
        return plain(start_response, b"hello")
"""

import json


class Routes(dict):
    """A WSGI application. A path that has no handler gets the longest registered one that ends in "/" and begins it."""

    def at(self, path):
        def register(handler):
            self[path] = handler
            return handler
        return register

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        handler = self.get(path)
        if handler is None:
            prefixes = [key for key in self if key.endswith("/") and path.startswith(key)]
            handler = self[max(prefixes, key=len)] if prefixes else _not_found
        return handler(environ, start_response)


def plain(start_response, body, status="200 OK", headers=()):
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
    return [body]


def as_json(start_response, value):
    return plain(start_response, json.dumps(value).encode())


def _not_found(environ, start_response):
    return plain(start_response, b"not found", "404 Not Found")
