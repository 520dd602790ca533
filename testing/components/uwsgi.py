"""Debian's uWSGI: one application in one process, over HTTP, on an engine of its async modes."""

import pathlib
import signal
import urllib.request

from components.daemon import Daemon

PLUGINS = pathlib.Path("/usr/lib/uwsgi/plugins")

# What each engine needs to run. Never with threads: uGreen then deadlocks on the second request that suspends.
_ENGINES = {
    "plain": (),
    "ugreen": ("--ugreen",),
    "greenlet": ("--greenlet",),
    "gevent": (),
}


class Uwsgi(Daemon):
    """Serves `application`, a file, on `port`. `environment` are variables for it, `options` uWSGI's own."""

    stop_signal = signal.SIGINT  # ends at once

    def __init__(self, application, *options, engine="ugreen", cores=40, environment=None, ready_path="/"):
        super().__init__()
        self._application = application
        self._options = options
        self._engine = engine
        self._cores = cores
        self._environment = environment or {}
        self._ready_path = ready_path

    @staticmethod
    def missing(engine):
        """The files without which the engine does not run here."""
        plugins = ["python3"] + ([engine] if engine != "plain" else [])
        names = {"greenlet": "greenlet_python3", "gevent": "gevent_python3"}
        paths = [PLUGINS / f"{names.get(plugin, plugin)}_plugin.so" for plugin in plugins]
        return [str(path) for path in [pathlib.Path("/usr/bin/uwsgi"), *paths] if not path.exists()]

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def command(self):
        plugins = {"plain": "python3", "greenlet": "python3,greenlet_python3", "gevent": "python3,gevent_python3"}
        command = ["/usr/bin/uwsgi", "--plugin", plugins.get(self._engine, "python3,ugreen")]
        command += ["--http-socket", f"127.0.0.1:{self.port}", "--wsgi-file", self._application, "--need-app"]
        command += ["--gevent" if self._engine == "gevent" else "--async", self._cores, *_ENGINES[self._engine]]
        command += ["--master", "--die-on-term", "--disable-logging", "--add-header", "Connection: close"]
        for name, value in {"PYTHONDONTWRITEBYTECODE": "1", **self._environment}.items():
            command += ["--env", f"{name}={value}"]
        return [*command, *self._options]

    def answers(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self._ready_path}", timeout=5) as response:
            return response.status == 200

    def log(self):
        return self.log_path.read_text(errors="replace")

    def _unprivileged(self, words):
        """As who runs the tests: it serves files of this repository, which others may not be allowed to read."""
        return ["setpriv", f"--pdeathsig={self.stop_signal.name.removeprefix('SIG')}", *map(str, words)]
