"""greenctl and sockets that others have made where its server's might be."""

import os
import pwd
import socket
import subprocess
import tempfile
import unittest

from fixture import DEADLINE_S
from greenctl import greenctl_command

MALLORY = 54322


@unittest.skipUnless(os.geteuid() == 0, "needs root, to be others")
class PlantedSocket(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        os.chmod(directory.name, 0o755)
        self.path = os.path.join(directory.name, "greenring.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)

    def greenctl(self):
        nobody = pwd.getpwnam("nobody")
        return subprocess.run(["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
                               *greenctl_command("get", "pools", "--timeout=5s")],
                              env={**os.environ, "GREENRING_CONTROL": f"unix:{self.path}"},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)

    def received(self):
        """What has been sent to the socket, by all who have connected."""
        self.listener.setblocking(False)
        data = b""
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return data
            with connection:
                connection.settimeout(DEADLINE_S)
                data += connection.recv(1000)

    def test_one_of_another_users_gets_nothing(self):
        self.listener.listen()
        os.chown(self.path, MALLORY, MALLORY)
        done = self.greenctl()
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn(f"uid {MALLORY}", done.stderr)
        self.assertIn("--control=unix:PATH", done.stderr)
        self.assertEqual(self.received(), b"")

    def test_one_that_another_user_listens_on_gets_nothing_although_its_file_is_roots(self):
        os.seteuid(MALLORY)
        try:
            self.listener.listen()
        finally:
            os.seteuid(0)
        done = self.greenctl()
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertEqual(self.received(), b"")


if __name__ == "__main__":
    unittest.main()
