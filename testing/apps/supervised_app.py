"""Says which worker answers: its process, and the content of GREENRING_TEST_REVISION when it was imported.

/sleep?SECONDS takes so long, and makes a file beside that one when it begins.
"""

import os
import time

_PATH = os.environ.get("GREENRING_TEST_REVISION", "")


def _revision():
    if not _PATH:
        return "none"
    with open(_PATH, encoding="utf-8") as file:
        return file.read().strip()


REVISION = _revision()
if REVISION == "broken":
    raise ImportError("this revision is broken")


def application(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        with open(_PATH + ".busy", "w", encoding="utf-8"):
            pass
        time.sleep(float(environ["QUERY_STRING"]))
    body = f"{os.getpid()} {REVISION}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
