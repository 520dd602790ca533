"""Answers with its environ: each key with the type and the value, as JSON."""

from routes import as_json


def application(environ, start_response):
    described = {}
    for key, value in environ.items():
        described[key] = [type(value).__name__, value if isinstance(value, (str, int, bool, tuple)) else None]
    described["type(environ)"] = [repr(type(environ)), None]
    described["methods of wsgi.input"] = ["list", [name for name in ("read", "readline", "readlines", "__iter__")
                                                   if callable(getattr(environ["wsgi.input"], name, None))]]
    described["methods of wsgi.errors"] = ["list", [name for name in ("write", "writelines", "flush")
                                                    if callable(getattr(environ["wsgi.errors"], name, None))]]
    environ["application.may.change.it"] = object()
    return as_json(start_response, described)
