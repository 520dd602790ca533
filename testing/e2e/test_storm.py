"""Everything that can befall a request, at the same time: deadlines, cancellations, clients that leave, preemption,
deep recursion, work of its own; and neighbours that must not notice.

What each request does follows from a seed; a failure names it, and GREENRING_STORM_SEED repeats it (the order in which
the server gets the requests is not repeated). GREENRING_STORM_REQUESTS makes it longer.
"""

import json
import os
import random
import threading

from case import ServerCase, on_each_engine
from fixture import eventually

REQUESTS = int(os.environ.get("GREENRING_STORM_REQUESTS", "240"))
CLIENTS = 12
KINDS = ("ok", "ok", "ok", "late", "caught", "deep", "go", "left")
STATUSES = {"late": 504}


@on_each_engine
class Storm(ServerCase):
    app = "storm_app"
    usual = (r".",)  # tracebacks of what is timed out, reports of deep recursion

    def test_each_request_gets_what_is_its_own(self):
        seed = int(os.environ.get("GREENRING_STORM_SEED") or random.SystemRandom().randrange(1 << 32))
        plans = self.plan(random.Random(seed))
        failures = []
        clients = [threading.Thread(target=self.run_client, args=(plans[at::CLIENTS], failures))
                   for at in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual(failures, [], f"GREENRING_STORM_SEED={seed}")
        left = sum(plan["kind"] == "left" for plan in plans)
        eventually(lambda: self.counts() == {"running": 0, "left": left},
                   f"every handler to have ended (GREENRING_STORM_SEED={seed}); now: {self.counts()}")
        self.assertNotRegex(self.server.log.text(), r"CHECK|Fatal|Exception ignored")

    @staticmethod
    def plan(choose):
        return [{"kind": choose.choice(KINDS), "seed": choose.randrange(1 << 32), "token": f"t{number}",
                 "leave_s": choose.uniform(0, 0.2), "reset": choose.random() < 0.5} for number in range(REQUESTS)]

    def run_client(self, plans, failures):
        for plan in plans:
            try:
                self.play(plan)
            except Exception as error:
                failures.append((plan, repr(error)))

    def play(self, plan):
        target = "/?kind={kind}&seed={seed}&token={token}".format(**plan)
        with self.server.connect() as connection:
            connection.send_request("GET", target)
            if plan["kind"] == "left":
                eventually(lambda: json.loads(self.request("GET", "/begun?" + plan["token"]).body), "the handler")
                threading.Event().wait(plan["leave_s"])
                connection.close(reset=plan["reset"])
                return
            response = connection.read_response()
            status = STATUSES.get(plan["kind"], 200)
            assert response.status == status, (response.status, response.body)
            if status == 200:
                assert response.body == plan["token"].encode(), response.body

    def counts(self):
        return json.loads(self.request("GET", "/counts").body)
