"""Engine `gevent`: a signal's handler runs in a greenlet of the hub that requests run in."""

import unittest

from fixture import eventually
from uwsgi_master import UwsgiMasterCase


class GeventSignals(UwsgiMasterCase):
    def gevent_master(self):
        return self.master("--uwsgi_api", "--workers=1", "--engine=gevent", app="hub_signals_app")

    def test_a_handler_is_a_greenlet_of_the_requests_hub_and_delays_nobody(self):
        with self.gevent_master() as server:
            self.get(server, "/")
            self.get(server, "/signal?1")
            eventually(lambda: self.json(server, "/") == [[1, True, True]], "the handler's beginning")
            self.get(server, "/signal?1")
            eventually(lambda: self.json(server, "/") == [[1, True, True]] * 2, "a second one beside it")
            self.get(server, "/end")
            eventually(lambda: self.json(server, "/")[2:] == ["ended", "ended"], "the end of both")

    def test_a_job_in_the_background_sends_signals_and_waits(self):
        with self.gevent_master() as server:
            self.get(server, "/end")
            self.get(server, "/background")
            eventually(lambda: sorted(map(str, self.json(server, "/"))) == ["[1, True, True]", "ended", "sent"],
                       "the handler and the job's end")

    def test_a_handler_that_waits_for_a_requests_lock_gets_it(self):
        with self.gevent_master() as server:
            self.get(server, "/hold")
            eventually(lambda: self.json(server, "/") == ["unlocks", "locked"], "the lock after the request")


if __name__ == "__main__":
    unittest.main()
