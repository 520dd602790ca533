"""greenctl top in a terminal, against a server that serves."""

import re

from fixture import eventually
from greenctl import Terminal, greenctl_command
from master import MasterCase
from test_greenctl_live import CANCELLED
from wrk import Wrk


class GreenctlTopLive(MasterCase):
    def top(self, server, *arguments, **size):
        terminal = Terminal(greenctl_command("top", "--interval", "500ms", *arguments), server.environment(), **size)
        self.addCleanup(terminal.__exit__)
        terminal.wait_for("q quit")
        return terminal

    def await_line(self, terminal, pattern):
        try:
            return eventually(lambda: re.search(pattern, terminal.text(), re.MULTILINE), f"{pattern} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows\n{terminal.text()}") from None

    def test_shows_what_a_loaded_server_does(self):
        with self.master("--workers=2", "--async_cores=16") as server, Wrk(server.port):
            terminal = self.top(server, width=120, height=30)
            self.assertRegex(terminal.lines()[0], rf"pid {server.pid} ")
            self.await_line(terminal, r"^1 pools?  workers 2/2  cores \d+/32  [1-9][\d.]*k? req/s")
            self.await_line(terminal, r"^web +READY +2/2 \[.*\] \d+/32 +\d+ +[1-9]")
            terminal.type("w")
            for name in ("web/1", "web/2"):
                self.await_line(terminal, rf"^{name} +\[.*\] +\d+/16 +\d+ +[1-9]")

    def test_follows_changes_and_the_load(self):
        with self.master("--workers=2", "--async_cores=16") as server:
            terminal = self.top(server, width=120, height=30)
            self.await_line(terminal, r"^web +READY +2/2 .* 0/32 ")
            with Wrk(server.port):
                self.await_line(terminal, r"^web +READY +2/2 \[.*\] \d+/32 +\d+ +[1-9]")
                self.assert_done(server, server.update(workers=3, asyncCores=8))
                self.await_line(terminal, r"^web +READY +3/3 \[.*\] \d+/24 ")
                self.assert_done(server, server.update(workers=1))
                self.await_line(terminal, r"^web +READY +1/1 \[.*\] \d+/8 ")
            self.await_line(terminal, r"^1 pools?  workers 1/1  cores 0/8  0 req/s")
            self.assert_done(server, server.change("DrainPool"))
            self.await_line(terminal, r"^web +DRAINED ")

    def test_shows_a_request_its_stack_and_cancels_it(self):
        with self.master("--workers=1", usual=CANCELLED) as server, server.connect() as connection:
            connection.send_request("GET", "/hold?60")
            terminal = self.top(server)
            self.await_line(terminal, r"^web/1/1 .* PARKED +clock_nanosleep .* GET /hold\?60")
            terminal.type("Enter")
            self.await_line(terminal, r'live_app\.py", line \d+, in hold')
            terminal.type("Escape")
            self.await_line(terminal, "^POOL ")
            terminal.type("k")
            terminal.wait_for("cancel web/1/1? y/n")
            terminal.type("y")
            self.assertEqual(connection.read_response().status, 503)
            terminal.wait_for("web/1/1 cancelled")
            eventually(lambda: "PARKED" not in terminal.text(), "the request to be gone")

    def test_outlives_the_server(self):
        with self.master("--workers=1") as server:
            terminal = self.top(server)
            self.await_line(terminal, r"^web +READY +1/1 ")
        terminal.wait_for("no connection, trying again")
        with self.master("--workers=2") as server:
            self.await_line(terminal, r"^web +READY +2/2 ")
            terminal.type("q")
            terminal.wait_for("exit code 0")
