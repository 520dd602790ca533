"""Says who answers what: SHARED_APP_NAME, the process, SCRIPT_NAME and PATH_INFO, and what has come as the body."""

import hashlib
import os

from routes import as_json


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    return as_json(start_response, {
        "name": os.environ["SHARED_APP_NAME"], "pid": os.getpid(), "script": environ["SCRIPT_NAME"],
        "path": environ["PATH_INFO"], "host": environ.get("HTTP_HOST"), "peer": environ["REMOTE_PORT"],
        "body": [len(body), hashlib.sha256(body).hexdigest()]})
