"""A worker whose address other pools share: what it serves itself, what it hands over, and what it is handed."""

import array
import json
import os
import socket
import unittest

from fixture import eventually
from link import Worker, address_of, hand_over_pb2
from wire import DEADLINE_S, Connection

RIGHTS_MAX = 4


class RoutesCase(unittest.TestCase):
    """One worker, at /a of its address; the pool at /b is played by the test."""

    def setUp(self):
        self.inbox, self.to_worker = self.pair()
        self.from_worker, self.outbox = self.pair()

    def pair(self):
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in ends:
            end.settimeout(DEADLINE_S)
            self.addCleanup(end.close)
        return ends

    def routes(self, address, own=("/a",), others=("/b",)):
        entries = [{"address": address, "route": {"path_prefix": prefix}, "pool": -1} for prefix in own]
        entries += [{"address": address, "route": {"path_prefix": prefix}, "pool": 0} for prefix in others]
        return {"has_inbox": True, "pools": ["pools/other"], "entries": entries}

    def worker(self, app="environ_app", **options):
        worker = Worker(app, **options)
        self.addCleanup(worker.__exit__, None)
        worker.start(routes=self.routes(address_of(worker.sockets[0])), descriptors=[self.inbox, self.outbox])
        return worker

    def hand(self, worker, received, accepted, address=None):
        """As a worker of the other pool does."""
        message = hand_over_pb2.HandedConnection(address=address or address_of(worker.sockets[0]), received=received)
        rights = array.array("i", [accepted.fileno()])
        self.to_worker.sendmsg([message.SerializeToString()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        accepted.close()

    def accept_elsewhere(self):
        """A connection that another process has accepted: the client, and the accepted socket."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = Connection(server.getsockname())
            self.addCleanup(client.close)
            return client, server.accept()[0]

    def take(self):
        """What the worker hands over: the message, the socket, and the descriptor of the file if there is one."""
        data, control, _, _ = self.from_worker.recvmsg(100_000, socket.CMSG_SPACE(4 * RIGHTS_MAX))
        fds = array.array("i")
        for level, kind, rights in control:
            self.assertEqual((level, kind), (socket.SOL_SOCKET, socket.SCM_RIGHTS))
            fds.frombytes(rights)
        taken = socket.socket(fileno=fds[0])
        taken.settimeout(DEADLINE_S)
        self.addCleanup(taken.close)
        return hand_over_pb2.HandedConnection.FromString(data), taken, fds[1] if len(fds) > 1 else None

    def environ(self, response):
        self.assertEqual(response.status, 200, response.body)
        return {key: value[1] for key, value in json.loads(response.body).items()}


class Own(RoutesCase):
    def test_is_mounted_where_its_route_says(self):
        worker = self.worker()
        with worker.connect() as connection:
            for target, path in (("/a/b%20c/d?q", "/b c/d"), ("/a", ""), ("/%61/x", "/x"), ("/a/%2e", "/.")):
                environ = self.environ(connection.get(target))
                self.assertEqual((environ["SCRIPT_NAME"], environ["PATH_INFO"]), ("/a", path), target)
                self.assertEqual(environ["REQUEST_URI"], target)

    def test_with_the_engine_thread_too(self):
        worker = self.worker(pool={"engine": "THREAD"})
        with worker.connect() as connection:
            environ = self.environ(connection.get("/a/x"))
            self.assertEqual((environ["SCRIPT_NAME"], environ["PATH_INFO"]), ("/a", "/x"))

    def test_what_no_route_takes_is_not_found(self):
        worker = self.worker()
        with worker.connect() as connection:
            self.assertEqual(connection.get("/c").status, 404)

    def test_routes_change_while_it_serves(self):
        worker = self.worker()
        with worker.connect() as connection:
            self.assertEqual(connection.get("/a").status, 200)
            routes = self.routes(address_of(worker.sockets[0]), own=("/b",), others=())
            worker.tell(routes={**routes, "has_inbox": False, "pools": []})
            self.assertTrue(worker.ask(apply={"pool": worker.pool}).HasField("applied"))  # it has read them
            environ = self.environ(connection.get("/b/x"))
            self.assertEqual((environ["SCRIPT_NAME"], environ["PATH_INFO"]), ("/b", "/x"))

    def test_a_worker_that_drains_ends_with_its_inbox(self):
        worker = self.worker()
        worker.tell(drain={"reason": "a test"})
        self.assertEqual(worker.wait(), 0)

    def test_sockets_that_are_missing_end_the_link(self):
        worker = self.worker()
        worker.tell(routes={"has_inbox": True, "pools": ["pools/other"]}, descriptors=[self.inbox])
        worker.log.expect(r"the master is gone \(it has named 2 sockets of pools, and sent 1\): draining")
        self.assertEqual(worker.wait(), 0)

    def test_sockets_that_are_missing_at_the_start_are_an_error(self):
        worker = Worker("environ_app")
        self.addCleanup(worker.__exit__, None)
        worker.send_start(routes=self.routes(address_of(worker.sockets[0])), descriptors=[self.inbox])
        self.assertEqual(worker.wait(), 1)
        worker.log.expect("named 1 listening sockets and 2 of other pools, and sent 2")


class HandedIn(RoutesCase):
    def test_is_served_as_if_it_had_come_here(self):
        worker = self.worker()
        client, accepted = self.accept_elsewhere()
        host, port = client.socket.getsockname()
        self.hand(worker, b"GET /a/x HTTP/1.1\r\nHost: h\r\n\r\n", accepted)
        environ = self.environ(client.read_response())
        self.assertEqual((environ["SCRIPT_NAME"], environ["PATH_INFO"]), ("/a", "/x"))
        self.assertEqual((environ["REMOTE_ADDR"], environ["REMOTE_PORT"]), (host, str(port)))
        self.assertEqual(environ["SERVER_PORT"], str(worker.sockets[0].getsockname()[1]))
        self.assertEqual(self.environ(client.get("/a/again"))["PATH_INFO"], "/again")

    def test_its_first_request_is_this_pools_or_nobodys(self):
        worker = self.worker()
        client, accepted = self.accept_elsewhere()
        self.hand(worker, b"GET /b/x HTTP/1.1\r\nHost: h\r\n\r\n", accepted)
        self.assertEqual(client.read_response().status, 404)

    def test_what_makes_no_sense_is_dropped_and_told(self):
        worker = self.worker()
        self.to_worker.send(b"\xff\xff\xff")
        worker.log.expect("a connection that another pool has handed over is lost: its bytes are no message")
        client, accepted = self.accept_elsewhere()
        self.hand(worker, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", accepted, address="10.1.2.3:4")
        worker.log.expect(r"a connection to 10\.1\.2\.3:4 was handed to this worker, which does not serve there")
        client, accepted = self.accept_elsewhere()
        self.hand(worker, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", accepted)
        self.assertEqual(client.read_response().status, 200)

    def test_two_workers_share_the_work(self):
        first = self.worker()
        second = self.worker(sockets=first.sockets)
        for _ in range(40):
            client, accepted = self.accept_elsewhere()
            self.hand(first, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", accepted)
            self.assertEqual(client.read_response().status, 200)
        for worker in (first, second):
            worker.tell(drain={"reason": "a test"})
            self.assertEqual(worker.wait(), 0)
        served = [self.last_report(worker) for worker in (first, second)]
        self.assertEqual(sum(served), 40)
        self.assertGreaterEqual(min(served), 10)

    def last_report(self, worker):
        try:
            while True:
                requests = worker.expect("report").statistics.requests
        except AssertionError:  # it has closed the link
            return requests


class HandedOut(RoutesCase):
    def test_goes_with_its_bytes_and_its_client(self):
        worker = self.worker()
        request = b"POST /b/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
        with worker.connect() as client:
            self.assertEqual(client.get("/a").status, 200)
            client.send(request)
            message, taken, _ = self.take()
            self.assertEqual(message.address, address_of(worker.sockets[0]))
            rest = request[len(message.received):]
            self.assertEqual(message.received + (taken.recv(100, socket.MSG_WAITALL) if rest else b""), request)
            self.assertEqual(taken.getpeername(), client.socket.getsockname())
            taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
            self.assertEqual(client.read_response().body, b"other")

    def test_what_is_long_goes_in_a_file(self):
        worker = self.worker("input_app")
        size = 100_000
        with worker.connect() as client:
            # The first request keeps the connection here until the whole second one has arrived.
            client.send(b"POST /a/gate HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(client.read_head().status, 100)
            request = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + size * b"x"
            client.send(b"!" + request)
            self.assertEqual(client.read_response().status, 200)
            message, taken, file = self.take()
            received = message.received
            if message.received_in_file:
                with os.fdopen(file, "rb") as opened:
                    opened.seek(0)  # the writer's position is its end
                    received = opened.read()
            while len(received) < len(request):
                received += taken.recv(len(request))
            self.assertEqual(received, request)

    def test_when_nobody_takes_any_more_it_is_a_503(self):
        worker = self.worker()
        self.from_worker.close()
        self.outbox.close()
        with worker.connect() as client:
            response = client.get("/b")
            self.assertEqual(response.status, 503)
            self.assertEqual(response.get("Retry-After"), "1")
        worker.log.expect("refused a request with 503: the request is pools/other's: it takes no more connections")

    def test_leaves_no_descriptor_behind(self):
        worker = self.worker()
        with worker.connect() as client:
            self.assertEqual(client.get("/a").status, 200)
        before = len(worker.descriptors())
        for _ in range(20):
            with worker.connect() as client:
                client.send(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
                self.take()[1].close()
        eventually(lambda: len(worker.descriptors()) <= before, "the descriptors to be closed")


if __name__ == "__main__":
    unittest.main()
