"""Users that long-poll: what one costs while it waits, and how soon and at what expense all of them hear a message."""

import dataclasses
import time

import load
import processes
import servers

SETTLE_S = 0.3


@dataclasses.dataclass(frozen=True)
class Chat:
    """`users` users on a connection each, with a request that blocks in a threading.Condition until somebody speaks.

    A server is measured by itself, in a fresh process. A user's memory is what the process has grown by from a few who
    wait to all of them, who have come a second time and heard messages: what a server keeps of the first time serves the
    second, and what it leaks shows.
    """

    name: str = "chat"
    title: str = "A chat of 1,000 long-polling users, all of whom hear 5 messages a second"
    app: str = "chat:application"
    users: int = 1_000
    users_few: int = 100
    rate: int = 5
    duration_min_s: int = 5
    rounds_max: int = 3
    spare_cores: int = 16  # for who speaks and who asks; some servers bind a core to an idle connection for a while

    def accepts(self, server):
        return server.waiting_max >= self.users and not server.suspends_max

    def measure(self, chosen, settings):
        """Leaves out a peer that fails, and says why; Greenring's failure ends the run."""
        rows = {}
        for server in chosen:
            try:
                rows[server.name] = self._measure(server, settings)
            except RuntimeError as error:
                if server.name.startswith("greenring-"):
                    raise RuntimeError(f"{self.name} {server.name}: {error}") from error
                settings.say(f"{self.name} left out {server.name}: {error}")
        return rows

    def _measure(self, server, settings):
        seconds = settings.duration_s if settings.quick else max(settings.duration_s, self.duration_min_s)
        rows = []
        with servers.running(server, self.app, settings.directory, self.users + self.spare_cores) as running:
            growth = Growth(self._come_and_go(running, self.users_few), self.users - self.users_few)
            growth.first = self._come_and_go(running, self.users)
            growth.kept = Memory.of(running.pid)
            with load.ChatUsers(running.url, self.users) as chat:
                for number in range(min(settings.rounds, self.rounds_max)):
                    row = self._round(chat, running, seconds) | growth.figures(Memory.of(running.pid))
                    rows.append(row)
                    settings.say(f"{self.name} {number + 1} {server.name}: {row['user_bytes'] / 1024:,.1f} KiB a user, "
                                 f"{row['cpu_us']:.1f} CPU µs a delivery, p99 {row['p99_us'] / 1e3:,.1f} ms")  # fmt: skip
        return rows

    def _come_and_go(self, running, users):
        """Memory while they wait after the first second's talk."""
        with load.ChatUsers(running.url, users) as chat:
            chat.talk(1, self.rate)
            waiting = Memory.of(running.pid)
        time.sleep(SETTLE_S)
        return waiting

    def _round(self, chat, running, seconds):
        before = processes.sample(running.pid)
        told = chat.talk(seconds, self.rate)
        cost = processes.sample(running.pid) - before
        return {
            "deliveries": told["deliveries"],
            "p50_us": told["p50_us"],
            "p99_us": told["p99_us"],
            "cpu_us": cost.cpu_ns / 1e3 / told["deliveries"],
            "client_busy": told["client_busy"],
            "disturbed": cost.waiting_ns / 1e9 / told["seconds"] if cost.threads == 1 else None,
        }


@dataclasses.dataclass(frozen=True)
class Memory:
    rss_bytes: int
    pss_bytes: int
    peak_bytes: int

    @staticmethod
    def of(pid):
        return Memory(*processes.memory_bytes(pid), processes.peak_bytes(pid))


class Growth:
    """Memory of each of `users` users, who came in addition to those with whom `before` was taken."""

    def __init__(self, before, users):
        self._before = before
        self._users = users
        self.first = before  # when all waited for the first time
        self.kept = before  # when they had gone

    def figures(self, now):
        """Of all waiting for the second time, and those of the process as a whole."""
        return {
            "user_bytes": self._each(now.rss_bytes),
            "user_pss_bytes": (now.pss_bytes - self._before.pss_bytes) / self._users,
            "peak_bytes": self._each(now.peak_bytes),
            "first_bytes": self._each(self.first.rss_bytes),
            "kept_bytes": self._each(self.kept.rss_bytes),
            "rss_bytes": now.rss_bytes,
            "pss_bytes": now.pss_bytes,
        }

    def _each(self, rss_bytes):
        return (rss_bytes - self._before.rss_bytes) / self._users


ALL = (Chat(),)
