"""uWSGI's module call by call, under Debian's uWSGI and here: the differences are those of docs/UWSGI_DIFFERENCES.md.

`test_uwsgi_differential.py` as a program prints the table of all differences, for that file.
"""

import http.client
import json
import os
import re
import sys
import unittest
import urllib.error
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [path for path in (HERE, os.path.dirname(HERE)) if path not in sys.path]

from components.uwsgi import Uwsgi  # noqa: E402
from fixture import APPS, ROOT, Server  # noqa: E402

DIFFERENCES = os.path.join(ROOT, "docs", "UWSGI_DIFFERENCES.md")
ENGINE = "ugreen"
CORES = 4
ANSWER_TIMEOUT_S = 4  # longer than the longest wait that a call asks for
PATIENT_TIMEOUT_S = 20
NOTHING = "no answer"  # in time, or before the connection ends: the request or the process is lost
APPLICATION = os.path.join(APPS, "uwsgi_calls_app.py")

sys.path.insert(0, APPS)
try:
    import uwsgi_calls_app as calls
finally:
    sys.path.remove(APPS)


class OfUwsgi:
    """Debian's uWSGI, another one after each call that it has not survived."""

    def __init__(self):
        self._server = None

    def ask(self, expression):
        if self._server is None:
            self._server = Uwsgi(APPLICATION, engine=ENGINE, cores=CORES).start()
        told = evaluate(f"http://127.0.0.1:{self._server.port}", expression)
        if told == NOTHING:
            self.stop()
        return told

    def stop(self):
        if self._server is not None:
            self._server.stop()
            self._server = None


class OfGreenring:
    def __init__(self):
        self._server = Server("uwsgi_calls_app", "--uwsgi_api", f"--async_cores={CORES}", "--control=off",
                              "--drain_timeout=1s", master="on", usual=("",)).start()

    def ask(self, expression):
        return evaluate(f"http://127.0.0.1:{self._server.port}", expression)

    def stop(self):
        self._server.stop()


def evaluate(url, expression):
    request = urllib.request.Request(f"{url}/?{urllib.parse.quote(expression, safe='')}")
    if "chunked_read" in expression:
        request.data = iter(calls.BODY)  # without a length: in chunks
    timeout_s = PATIENT_TIMEOUT_S if expression.startswith(calls.PATIENT) else ANSWER_TIMEOUT_S
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            body = response.read()
            return json.loads(body) if body else NOTHING
    except urllib.error.HTTPError as error:
        with error:
            return f"status {error.code}"
    except (OSError, http.client.HTTPException):  # a timeout, or the end of the connection
        return NOTHING


def ask_all(server):
    try:
        return {expression: server.ask(expression) for expression in calls.EXPRESSIONS}
    finally:
        server.stop()


def differences():
    """{expression: (under uWSGI, here)} of those that differ."""
    theirs, ours = ask_all(OfUwsgi()), ask_all(OfGreenring())
    return {one: (theirs[one], ours[one]) for one in theirs if theirs[one] != ours[one]}


def listed():
    """The same, as the document has it: rows of three cells in backticks, and a reason."""
    with open(DIFFERENCES) as document:
        rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| (.+) \|$", document.read(), re.M)
    return {call: (theirs, ours) for call, theirs, ours, _ in rows}


class UwsgiDifferential(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if missing := Uwsgi.missing(ENGINE):
            raise unittest.SkipTest(f"not installed: {', '.join(missing)}")
        cls.found, cls.listed = differences(), listed()

    def test_every_difference_is_documented(self):
        self.assertEqual({one: told for one, told in self.found.items() if self.listed.get(one) != told}, {})

    def test_every_difference_that_is_documented_is_there(self):
        self.assertEqual([one for one in self.listed if one not in self.found], [])


if __name__ == "__main__":
    for call, (theirs, ours) in differences().items():
        print(f"| `{call}` | `{theirs}` | `{ours}` | |")
