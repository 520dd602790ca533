"""greenctl top in a terminal: what is on its screen, what keys do, and the terminal after it."""

import os
import signal
import unittest

from fixture import eventually
from greenctl import FakeServer, Terminal, greenctl, greenctl_command


class GreenctlTop(unittest.TestCase):
    def setUp(self):
        self.server = FakeServer().start()
        self.addCleanup(self.server.__exit__)

    def top(self, *arguments, **size):
        terminal = Terminal(greenctl_command("top", "--interval", "200ms", *arguments), self.server.environment(), **size)
        self.addCleanup(terminal.__exit__)
        terminal.wait_for("q quit")
        return terminal

    def assert_restored(self, terminal, code):
        terminal.wait_for(f"exit code {code}")
        self.assertFalse(terminal.in_alternate_screen())
        terminal.type("echoed", "Enter")  # cat: the terminal echoes, and gives whole lines
        eventually(lambda: terminal.text().count("echoed") == 2, "the line and its echo")

    def test_shows_server_pools_and_oldest_requests_in_80_by_24(self):
        terminal = self.top()
        terminal.wait_for("web/1/12")
        lines = terminal.lines()
        self.assertRegex(lines[0], r"^greenring 1\.0-fake  pid 4700  up \S+  Python 3\.11\.2")
        self.assertRegex(lines[1], r"^2 pools  workers 4/4  cores 0/1024  ")
        self.assertRegex(lines[3], r"^POOL +STATE +WORKERS CORES +QUEUE +REQ/S +P50 +P99 ERR/S +CPU +RSS$")
        self.assertRegex(lines[4], r"^api +READY +2/2 0/512")
        self.assertRegex(lines[5], r"^web +READY +2/2 0/512")
        self.assertRegex(lines[7], r"^REQUEST +AGE STATE +CALL +CPU +STACK")
        self.assertRegex(lines[8], r"^web/1/12 +\d+s PARKED +recv 10\.0\.0\.5:54.* 20KiB GET /orders")
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_keys_choose_the_tables(self):
        terminal = self.top()
        terminal.wait_for("web/1/12")
        terminal.type("w")
        terminal.wait_for("WORKER")
        terminal.wait_for("api/2")
        terminal.type("r")
        eventually(lambda: "web/1/12" not in terminal.text(), "the requests to be hidden")
        terminal.type("?")
        terminal.wait_for("cancel the selected request; asks first")
        terminal.type("x")
        terminal.wait_for("q quit")

    def test_cancels_the_selected_request_when_told_twice(self):
        terminal = self.top()
        terminal.wait_for("web/1/12")
        terminal.type("Down")
        terminal.type("k")
        terminal.wait_for("cancel api/1/3? y/n")
        terminal.type("n")
        terminal.wait_for("not cancelled")
        terminal.type("k")
        terminal.wait_for("cancel api/1/3? y/n")
        terminal.type("y")
        terminal.wait_for("api/1/3 cancelled")
        self.assertEqual(greenctl(self.server, "ps", "api").stderr, "no requests in flight\n")

    def test_shows_the_stack_of_a_request(self):
        terminal = self.top()
        terminal.wait_for("web/1/12")
        terminal.type("Enter")
        terminal.wait_for("rows = cursor.fetchall()")
        terminal.type("Escape")
        terminal.wait_for("POOL")

    def test_follows_the_size_of_the_terminal(self):
        terminal = self.top()
        terminal.wait_for("web/1/12")
        terminal.resize(120, 30)
        eventually(lambda: "q quit" in terminal.lines()[29], "the keys in the last line")
        terminal.resize(60, 10)
        eventually(lambda: "q quit" in terminal.lines()[9], "the keys in the last line")

    def test_comes_back_when_the_server_does(self):
        terminal = self.top()
        terminal.wait_for("web/1/12")
        self.server.stop()
        terminal.wait_for("no connection, trying again")
        self.server.start()
        terminal.wait_for("2 pools")

    def test_leaves_the_terminal_as_it_was(self):
        terminal = self.top()
        self.assertTrue(terminal.in_alternate_screen())
        terminal.type("q")
        self.assert_restored(terminal, 0)

    def test_ctrl_c_leaves_the_terminal_as_it_was(self):
        terminal = self.top()
        terminal.type("C-c")
        self.assert_restored(terminal, 0)

    def test_signals_leave_the_terminal_as_it_was(self):
        for number, code in ((signal.SIGTERM, 0), (signal.SIGSEGV, 128 + signal.SIGSEGV)):
            with self.subTest(signal=number):
                terminal = self.top()
                os.kill(terminal.process_id("greenctl"), number)
                self.assert_restored(terminal, code)

    def test_needs_a_server(self):
        self.server.stop()
        done = greenctl(self.server, "top")
        self.assertEqual(done.returncode, 4)


if __name__ == "__main__":
    unittest.main()
