"""The server's own log as JSON: every line of it is an object, whoever has written it."""

import json
import os
import signal
import subprocess
import tempfile
import unittest

from components.reflection import Api
from fixture import APPS, DEADLINE_S, server_binary


class JsonLog(unittest.TestCase):
    def test_every_line_is_an_object_and_says_who_did_what(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        socket = f"unix:{directory.name}/api.sock"
        process = subprocess.Popen([server_binary(), "--app=supervised_app", f"--chdir={APPS}", "--http=127.0.0.1:0",
                                    f"--control={socket}", "--log_format=json"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        lines = []
        for line in process.stderr:
            lines.append(json.loads(line))
            if lines[-1].get("message") == "ready":
                break
        api = Api(socket)
        self.addCleanup(api.close)
        api.wait(api.call("PoolService", "ReloadPool", name="pools/web"))
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=DEADLINE_S)
        lines += [json.loads(line) for line in rest.splitlines()]
        self.assertEqual(process.returncode, 0)

        self.assertIn("worker_ready", [line.get("event") for line in lines])
        call = next(line for line in lines if line.get("event") == "api_call")
        self.assertEqual((call["method"], call["target"], call["code"]), ("ReloadPool", "pools/web", "OK"))
        self.assertRegex(call["caller"], rf"uid {os.getuid()} .*pid {os.getpid()}$")
        own = [line for line in lines if "pid" not in line]  # a worker's error log has its pid
        self.assertGreater(len(own), 5)
        for line in own:
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["severity"], ("info", "warning", "error"), line)


if __name__ == "__main__":
    unittest.main()
