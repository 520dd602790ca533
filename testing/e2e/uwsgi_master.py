"""Tests of what the module `uwsgi` asks of the master: `UwsgiMasterCase`, and the events of its application."""

import http.client
import json
import os

from fixture import eventually
from master import MasterCase


class UwsgiMasterCase(MasterCase):
    def uwsgi_master(self, *flags, workers=2, usual=(), **options):
        # A drain that finds a timer's handler at work says that it waits for it.
        return self.master("--uwsgi_api", f"--workers={workers}", *flags, app="uwsgi_signals_app",
                           env={**os.environ, "EVENTS_DIRECTORY": self.directory},
                           usual=(r"\] waiting for \d+ functions", *usual), **options)

    def events(self, what):
        """(time, worker, pid) of each event of that name, in their order."""
        found = []
        try:
            with open(self.path("events"), encoding="utf-8") as file:
                for line in file:
                    when, worker, pid, text = line.rstrip("\n").split(" ", 3)
                    if text == what or text.startswith(what + " "):
                        found.append((float(when), int(worker), int(pid)))
        except FileNotFoundError:
            pass
        return found

    def await_events(self, what, count):
        eventually(lambda: len(self.events(what)) >= count, f"{count} times {what!r}")
        return self.events(what)

    @staticmethod
    def send(server, path):
        """A connection that has asked for `path`."""
        connection = http.client.HTTPConnection(*server.address, timeout=60)
        connection.request("GET", path)
        return connection

    def get(self, server, path):
        connection = self.send(server, path)
        try:
            response = connection.getresponse()
            body = response.read()
            self.assertEqual(response.status, 200, body)
            return body
        finally:
            connection.close()

    def json(self, server, path):
        return json.loads(self.get(server, path))
