"""Tells the id of its request, and writes to the error log."""

from routes import Routes, plain

application = Routes()


@application.at("/")
def tell(environ, start_response):
    return plain(start_response, environ["greenring.request_id"].encode("ascii"))


@application.at("/raises")
def fail(environ, start_response):
    raise RuntimeError("raised on purpose")


@application.at("/writes")
def write(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("two pieces,")
    errors.write(" one line\nand \ttwo\u20ac\n")
    return plain(start_response, b"written")
