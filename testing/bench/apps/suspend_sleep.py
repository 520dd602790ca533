"""A handler that waits for 100 ms by uWSGI's own calls. Of uWSGI's only whole seconds count: it waits one of those."""

import uwsgi

SECONDS = 0.1 if b"greenring" in getattr(uwsgi, "version_info", ()) else 1
BODY = b"slept"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def application(environ, start_response):
    uwsgi.async_sleep(SECONDS)
    uwsgi.suspend()
    start_response("200 OK", HEADERS)
    return [BODY]
