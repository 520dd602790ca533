"""wsgiref.validate around applications that use the whole interface."""

from wsgiref.validate import validator

from routes import Routes, as_json, plain

_inner = Routes()


@_inner.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@_inner.at("/pieces")
def pieces(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (piece for piece in (b"a", b"b", b"c"))


@_inner.at("/write")
def write(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])(b"written,")
    return [b"returned"]


@_inner.at("/no-content")
def no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


@_inner.at("/input")
def read_input(environ, start_response):
    body = environ["wsgi.input"]
    return as_json(start_response, [piece.decode() for piece in
                                    [body.read(3), body.readline(), body.readline(4), *body.readlines(6), *body,
                                     body.read(10)]])


@_inner.at("/errors")
def errors(environ, start_response):
    environ["wsgi.errors"].write("validated line\n")
    environ["wsgi.errors"].writelines(["and ", "another\n"])
    environ["wsgi.errors"].flush()
    return plain(start_response, b"written")


@_inner.at("/file")
def file(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


application = validator(_inner)
