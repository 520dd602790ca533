"""The limits of a request, each at its edge: as much as allowed is served, one more is refused."""

from case import ServerCase, on_each_engine
from wire import chunked, request_bytes


@on_each_engine
class Limits(ServerCase):
    app = "input_app"
    usual = ("refused a request with 4",)
    flags = ("--limit_request_line=200", "--limit_request_fields=10", "--limit_request_field_size=300",
             "--limit_request_body=1000")

    def status(self, data):
        """The status of the response to `data`; a refusal must end the connection."""
        with self.server.connect() as connection:
            connection.send(data)
            response = connection.read_response()
            if response.status != 200:
                self.assertEqual(response.get("Connection", "").lower(), "close")
                self.assertEqual(connection.read_until_close(), b"")
            return response.status

    def tearDown(self):
        self.assert_alive()

    def test_request_line(self):
        fitting = "/" + "a" * (200 - len("GET / HTTP/1.1"))
        self.assertEqual(self.status(request_bytes("GET", fitting)), 200)
        self.assertEqual(self.status(request_bytes("GET", fitting + "aaa")), 414)

    def test_a_request_line_without_end(self):
        self.assertEqual(self.status(b"GET /" + b"a" * 5000), 414)

    def test_number_of_fields(self):
        fields = [("Host", "x")] + [(f"X-{n}", "v") for n in range(9)]
        self.assertEqual(self.status(request_bytes("GET", "/", fields)), 200)
        self.assertEqual(self.status(request_bytes("GET", "/", fields + [("X-More", "v")])), 431)

    def test_size_of_a_field(self):
        self.assertEqual(self.status(request_bytes("GET", "/", [("X-A", "v" * 290)])), 200)
        self.assertEqual(self.status(request_bytes("GET", "/", [("X-A", "v" * 301)])), 431)

    def test_a_field_without_end(self):
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"v" * 5000), 431)

    def test_body_with_length(self):
        self.assertEqual(self.status(request_bytes("POST", "/count", (), b"x" * 1000)), 200)
        self.assertEqual(self.status(request_bytes("POST", "/count", (), b"x" * 1001)), 413)

    def test_body_with_length_is_refused_before_it_is_sent(self):
        self.assertEqual(self.status(request_bytes("POST", "/count", [("Content-Length", "1001")])), 413)

    def test_chunked_body(self):
        chunks = [("Transfer-Encoding", "chunked")]
        self.assertEqual(self.status(request_bytes("POST", "/count", chunks, chunked(b"x" * 500, b"x" * 500))), 200)
        self.assertEqual(self.status(request_bytes("POST", "/count", chunks, chunked(b"x" * 500, b"x" * 501))), 413)

    def test_an_overlong_length_is_refused(self):
        self.assertIn(self.status(request_bytes("POST", "/", [("Content-Length", "9" * 40)])), (400, 413))


class DefaultLimits(ServerCase):
    app = "input_app"
    usual = ("refused a request with 4",)

    def test_defaults_serve_what_browsers_send(self):
        headers = [("Cookie", "c" * 8000)] + [(f"X-{n}", "v" * 100) for n in range(60)]
        self.assertEqual(self.request("GET", "/" + "a" * 8000, headers).status, 200)

    def test_defaults_refuse_what_is_beyond_them(self):
        self.assertEqual(self.request("GET", "/" + "a" * 8300).status, 414)
        self.assertEqual(self.request("GET", "/", [("X-A", "v" * 8300)]).status, 431)
        self.assertEqual(self.request("GET", "/", [(f"X-{n}", "v") for n in range(100)]).status, 431)
