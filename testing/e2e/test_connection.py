"""Connections: keep-alive, pipelining, old versions, slow clients and clients that leave."""

import json

from case import ServerCase, on_each_engine
from wire import WireError, request_bytes


class ConnectionCase(ServerCase):
    app = "input_app"


@on_each_engine
class KeepAlive(ConnectionCase):
    def test_a_connection_serves_many_requests(self):
        with self.server.connect() as connection:
            for number in range(200):
                answer = connection.post("/calls?read", str(number).encode())
                self.assertEqual(json.loads(answer.body), [str(number)])

    def test_connection_close_is_honoured_and_announced(self):
        for value in ("close", "Close", "foo, close"):
            with self.subTest(value=value), self.server.connect() as connection:
                response = connection.get("/", [("Connection", value)])
                self.assertEqual(response.get("Connection").lower(), "close")
                connection.expect_close()

    def test_version_1_0_closes(self):
        with self.server.connect() as connection:
            response = connection.request("GET", "/", version="1.0")
            self.assertEqual(response.body, b"ignored")
            self.assertNotEqual(response.get("Connection", "close").lower(), "keep-alive")
            connection.expect_close()

    def test_version_1_0_with_keep_alive_stays(self):
        with self.server.connect() as connection:
            for _ in range(3):
                response = connection.request("GET", "/", [("Connection", "keep-alive")], version="1.0")
                self.assertEqual(response.get("Connection", "").lower(), "keep-alive")
                self.assertEqual(response.body, b"ignored")

    def test_version_1_0_with_keep_alive_but_no_length_closes(self):
        with self.server.connect() as connection:
            response = connection.request("POST", "/echo", [("Connection", "keep-alive")], b"body", version="1.0")
            self.assertEqual(response.body, b"body")
            self.assertNotEqual(response.get("Connection", "close").lower(), "keep-alive")

    def test_a_client_that_finishes_sending_still_gets_its_response(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/calls?read", (), b"last words")
            connection.finish_sending()
            self.assertEqual(json.loads(connection.read_response().body), ["last words"])
            connection.expect_close()

    def test_an_empty_line_before_a_request_is_ignored(self):
        with self.server.connect() as connection:
            connection.send(b"\r\n" + request_bytes())
            self.assertEqual(connection.read_response().body, b"ignored")

    def test_a_client_that_connects_and_leaves_is_no_event(self):
        for _ in range(50):
            self.server.connect().close()
            self.server.connect().close(reset=True)
        self.assert_alive()

    def test_a_client_that_leaves_in_the_head_is_no_event(self):
        for reset in (False, True):
            connection = self.server.connect()
            connection.send(b"GET / HTTP/1.1\r\nHost: ")
            connection.close(reset=reset)
        self.assert_alive()


@on_each_engine
class IdleTimeouts(ConnectionCase):
    flags = ("--keepalive_timeout=1s", "--header_timeout=1s")

    def test_an_idle_connection_is_closed(self):
        with self.server.connect() as connection:
            self.assertEqual(connection.get("/").status, 200)
            connection.expect_close()

    def test_a_head_that_does_not_come_to_an_end_is_answered_408_or_closed(self):
        with self.server.connect() as connection:
            connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
            answer = connection.read_until_close()
            self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer)

    def test_a_slow_body_is_not_idle(self):
        with self.server.connect() as waiting, self.server.connect() as idle:
            waiting.send_request("POST", "/gate", [("Content-Length", "1")])
            idle.get("/")
            idle.expect_close()  # by now, more than the timeout has passed
            waiting.send(b"!")
            self.assertEqual(waiting.read_response().body, b"gate opened by !")


@on_each_engine
class Pipelining(ConnectionCase):
    usual = ("refused a request with 4",)

    def test_a_hundred_requests_in_one_write_are_answered_in_order(self):
        with self.server.connect() as connection:
            connection.send(b"".join(request_bytes("POST", "/calls?read", (), b"%d" % n) for n in range(100)))
            for number in range(100):
                self.assertEqual(json.loads(connection.read_response().body), [str(number)])

    def test_requests_of_all_kinds_mix(self):
        chunked = request_bytes("POST", "/echo", [("Transfer-Encoding", "chunked")], b"2\r\nhi\r\n0\r\n\r\n")
        with self.server.connect() as connection:
            connection.send((request_bytes() + chunked + request_bytes("HEAD")) * 20)
            for _ in range(20):
                self.assertEqual(connection.read_response().body, b"ignored")
                self.assertEqual(connection.read_response().body, b"hi")
                self.assertEqual(connection.read_response("HEAD").body, b"")

    def test_a_slow_first_request_keeps_the_order(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/gate", [("Content-Length", "1"), ("Expect", "100-continue")])
            self.assertEqual(connection.read_head().status, 100)
            connection.send(b"1" + request_bytes("POST", "/calls?read", (), b"second"))
            self.assertEqual(connection.read_response().body, b"gate opened by 1")
            self.assertEqual(json.loads(connection.read_response().body), ["second"])

    def test_nothing_is_served_after_connection_close(self):
        with self.server.connect() as connection:
            connection.send(request_bytes("GET", "/", [("Connection", "close")]) + request_bytes("GET", "/calls?read"))
            self.assertEqual(connection.read_response().body, b"ignored")
            self.assertEqual(connection.read_until_close(), b"")

    def test_a_bad_request_after_good_ones_is_refused_after_their_responses(self):
        with self.server.connect() as connection:
            connection.send(request_bytes() * 3 + b"BAD REQUEST\r\n\r\n" + request_bytes())
            for _ in range(3):
                self.assertEqual(connection.read_response().status, 200)
            self.assertEqual(connection.read_response().status, 400)
            self.assertEqual(connection.read_until_close(), b"")

    def test_split_at_every_byte_requests_are_the_same(self):
        two = request_bytes("POST", "/calls?read", [("X-A", "b")], b"12345") + request_bytes("GET", "/")
        for at in range(1, len(two)):
            with self.server.connect() as connection:
                connection.send(two[:at])
                connection.send(two[at:])
                self.assertEqual(connection.read_response().body, b'["12345"]')
                self.assertEqual(connection.read_response().body, b"ignored")


@on_each_engine
class SlowClients(ConnectionCase):
    def test_a_request_sent_byte_by_byte_is_served(self):
        with self.server.connect() as connection:
            for byte in request_bytes("POST", "/calls?read", [("X-Long", "v" * 50)], b"byte by byte"):
                connection.send(bytes([byte]))
            self.assertEqual(json.loads(connection.read_response().body), ["byte by byte"])

    def test_while_one_sends_slowly_others_are_served(self):
        with self.server.connect() as slow:
            for byte in request_bytes("POST", "/calls?read", (), b"slow"):
                slow.send(bytes([byte]))
                self.assertEqual(self.request("GET", "/").body, b"ignored")
            self.assertEqual(json.loads(slow.read_response().body), ["slow"])


@on_each_engine
class SlowReaders(ConnectionCase):
    app = "response_app"

    def test_while_one_does_not_read_others_are_served(self):
        for target in ("/large?16", "/large-at-once?16", "/file?None,None,None"):
            with self.subTest(target=target):
                slow = [self.connect(receive_buffer_bytes=4096) for _ in range(3)]
                for connection in slow:
                    connection.send_request("GET", target)
                heads = [connection.read_head() for connection in slow]
                for _ in range(20):
                    self.assertEqual(self.request("GET", "/hello").body, b"hello")
                for connection, head in zip(slow, heads):
                    connection.open_window()
                    body = connection.read_body(head).body
                    self.assertEqual(body[:512], bytes(range(256)) * 2)
                    self.assertEqual(len(body) % (1 << 20), 0)
                    connection.close()

    def test_clients_that_leave_in_a_response_are_no_event(self):
        for reset in (False, True):
            for target in ("/large?64", "/large-at-once?64"):
                connection = self.connect(receive_buffer_bytes=4096)
                connection.send_request("GET", target)
                connection.read_head()
                connection.close(reset=reset)
        self.assert_alive()

    def test_a_client_that_leaves_with_requests_in_the_pipe_is_no_event(self):
        connection = self.connect()
        connection.send(request_bytes("GET", "/large?1") * 20)
        connection.read_head()
        connection.close(reset=True)
        self.assert_alive()


class Unanswerable(ConnectionCase):
    def test_a_response_that_breaks_off_is_noticed_by_these_tests(self):
        """The reader of these tests must itself be able to fail."""
        with self.server.connect() as connection:
            connection.send_request("GET", "/", [("Connection", "close")])
            connection.read_head()
            with self.assertRaises(WireError):
                connection.read_exactly(100)
