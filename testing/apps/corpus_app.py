"""Reads every body to its end and remembers which requests reached it."""

from routes import Routes, as_json, plain

application = Routes()
_seen = []


@application.at("/__seen__")
def seen(environ, start_response):
    answer = as_json(start_response, _seen)
    _seen.clear()
    return answer


@application.at("/")
def any_path(environ, start_response):
    body = environ["wsgi.input"].read()
    _seen.append([environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], body.decode("latin-1")])
    return plain(start_response, b"ok")


application[""] = application["*"] = any_path
