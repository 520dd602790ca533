"""wrk as the client that counts: requests answered, and everything that went wrong.

    with Wrk(server.port) as load:
        ...
    self.assertEqual(load.failures, {})
"""

import re
import signal
import subprocess

from fixture import DEADLINE_S

_DURATION_S = 600  # until it is told to end
_TIMEOUT_S = 30  # a request that takes longer counts as failed


class Wrk:
    """`connections` that each send a request when the one before is answered; `close`: on a new connection each time."""

    def __init__(self, port, path="/", connections=8, close=False):
        self._command = ["wrk", "-t1", f"-c{connections}", f"-d{_DURATION_S}s", "--timeout", f"{_TIMEOUT_S}s",
                         *(["-H", "Connection: close"] if close else []), f"http://127.0.0.1:{port}{path}"]
        self._process = None
        self.requests = 0
        self.failures = {}  # how many by kind: connect, read, write, timeout, status

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGINT)
        try:
            report, _ = self._process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self.requests = int(re.search(r"(\d+) requests in", report).group(1))
        found = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
        counts = dict(zip(("connect", "read", "write", "timeout"), map(int, found.groups()))) if found else {}
        if found := re.search(r"Non-2xx or 3xx responses: (\d+)", report):
            counts["status"] = int(found.group(1))
        self.failures = {kind: count for kind, count in counts.items() if count}
