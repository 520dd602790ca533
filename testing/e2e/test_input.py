"""wsgi.input and wsgi.errors."""

import json

from case import ServerCase, on_each_engine
from wire import chunked

LINES = b"one\ntwo\r\n\nfour without end"


@on_each_engine
class Input(ServerCase):
    app = "input_app"

    def calls(self, calls, body=LINES, headers=()):
        """The results of these calls, for a body with Content-Length and the same one chunked."""
        with_length = self.request("POST", f"/calls?{calls}", headers, body)
        self.assertEqual(with_length.status, 200, with_length)
        middle = len(body) // 2
        pieces = [piece for piece in (body[:middle], body[middle:]) if piece]
        in_chunks = self.request("POST", f"/calls?{calls}", [*headers, ("Transfer-Encoding", "chunked")],
                                 chunked(*pieces))
        self.assertEqual(in_chunks.body, with_length.body)
        return json.loads(with_length.body)

    def test_read_gives_everything_then_nothing(self):
        self.assertEqual(self.calls("read;read;read,1"), [LINES.decode(), "", ""])

    def test_read_of_n_is_bounded_by_the_body(self):
        self.assertEqual(self.calls("read,3;read,0;read,100;read,100"), ["one", "", LINES[3:].decode(), ""])

    def test_read_of_minus_one_and_none_give_everything(self):
        self.assertEqual(self.calls("read,-1;read,-1"), [LINES.decode(), ""])
        self.assertEqual(self.calls("read,None"), [LINES.decode()])

    def test_readline_gives_lines_with_their_ends(self):
        self.assertEqual(self.calls("readline;readline;readline;readline;readline"),
                         ["one\n", "two\r\n", "\n", "four without end", ""])

    def test_readline_of_n_gives_at_most_n(self):
        self.assertEqual(self.calls("readline,2;readline,5;readline,0;readline,-1"), ["on", "e\n", "", "two\r\n"])

    def test_readlines_gives_all_lines(self):
        self.assertEqual(self.calls("readlines;readlines"), [["one\n", "two\r\n", "\n", "four without end"], []])

    def test_readlines_with_hint_loses_nothing(self):
        first, rest = self.calls("readlines,5;readlines")
        self.assertEqual(first + rest, ["one\n", "two\r\n", "\n", "four without end"])

    def test_iteration_gives_lines(self):
        self.assertEqual(self.calls("iter;iter"), [["one\n", "two\r\n", "\n", "four without end"], []])

    def test_ways_of_reading_mix(self):
        self.assertEqual(self.calls("readline;read,2;next;iter;read"),
                         ["one\n", "tw", "o\r\n", ["\n", "four without end"], ""])

    def test_no_body_reads_as_empty(self):
        for headers in ([], [("Content-Length", "0")], [("Transfer-Encoding", "chunked")]):
            body = chunked() if headers and headers[0][0] == "Transfer-Encoding" else None
            response = self.request("POST", "/calls?read;read,5;readline;readlines;iter", headers, body)
            self.assertEqual(json.loads(response.body), ["", "", "", [], []])

    def test_body_is_bytes_of_any_value(self):
        everything = bytes(range(256)) * 300
        response = self.request("POST", "/echo", (), everything)
        self.assertEqual(response.body, everything)

    def test_a_long_line_is_read_whole(self):
        line = b"x" * 300_000 + b"\n"
        self.assertEqual(self.calls("readline;readline", line + b"y"), [line.decode(), "y"])

    def test_chunk_sizes_do_not_show(self):
        body = bytes(range(251)) * 400
        for size in (1, 7, 4096, 65536):
            with self.subTest(size=size):
                count = 200 if size == 1 else len(body)
                pieces = [body[at:at + size] for at in range(0, count, size)]
                response = self.request("POST", "/echo", [("Transfer-Encoding", "chunked")], chunked(*pieces))
                self.assertEqual(response.body, b"".join(pieces))

    def test_chunk_extensions_and_trailers_are_not_body(self):
        body = b"3;name=value\r\nabc\r\n2;\"q\"\r\nde\r\n0\r\nX-Trailer: ignored\r\n\r\n"
        with self.server.connect() as connection:
            head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.send(head + body.replace(b";\"q\"", b";q=\"v\""))
            self.assertEqual(connection.read_response().body, b"abcde")
            self.assertEqual(connection.get("/").body, b"ignored")

    def test_reading_does_not_go_into_the_next_request(self):
        with self.server.connect() as connection:
            connection.send(b"POST /calls?read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                            b"POST /calls?read,100;read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ndef")
            self.assertEqual(json.loads(connection.read_response().body), ["abc"])
            self.assertEqual(json.loads(connection.read_response().body), ["def", ""])

    def test_an_unread_body_is_never_taken_for_a_request(self):
        smuggled = b"GET /calls?read HTTP/1.1\r\nHost: x\r\n\r\n"
        with self.server.connect() as connection:
            connection.send_request("POST", "/", (), smuggled)
            response = connection.read_response()
            self.assertEqual(response.body, b"ignored")
            if response.get("Connection", "").lower() == "close":
                connection.expect_close()
            else:
                self.assertEqual(connection.post("/calls?read", b"mine").body, b'["mine"]')

    def test_an_unread_chunked_body_is_never_taken_for_a_request(self):
        smuggled = b"GET /calls?read HTTP/1.1\r\nHost: x\r\n\r\n"
        with self.server.connect() as connection:
            connection.send_request("POST", "/", [("Transfer-Encoding", "chunked")], chunked(smuggled, smuggled))
            response = connection.read_response()
            self.assertEqual(response.body, b"ignored")
            if response.get("Connection", "").lower() == "close":
                connection.expect_close()
            else:
                self.assertEqual(connection.post("/calls?read", b"mine").body, b'["mine"]')

    def test_a_half_read_body_is_never_taken_for_a_request(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/calls?read,5", (), b"12345GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
            response = connection.read_response()
            self.assertEqual(response.body, b'["12345"]')
            if response.get("Connection", "").lower() == "close":
                connection.expect_close()
            else:
                self.assertEqual(connection.post("/calls?read", b"mine").body, b'["mine"]')

    def test_an_unread_huge_body_does_not_hold_the_response(self):
        with self.connect() as connection:
            connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\nonly the beginning")
            self.assertEqual(connection.read_response().body, b"ignored")

    def test_input_kept_beyond_its_request_gives_nothing(self):
        with self.server.connect() as connection:
            self.assertEqual(connection.post("/after-response", b"first").body, b"kept")
            answer = connection.post("/after-response", b"second").body
        self.assertNotIn(b"second", answer)

    # Bodies that arrive as they are read

    def test_a_body_is_read_while_it_is_still_arriving(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/gated-body", [("Content-Length", "3")])
            response = None
            for number in (b"1", b"2", b"3"):
                connection.send(b".")
                response = response or connection.read_head()
                self.assertEqual(connection.read_chunk(), number)
            self.assertEqual(connection.read_chunk(), b"")

    def test_a_chunked_body_is_read_while_it_is_still_arriving(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/gated-body", [("Transfer-Encoding", "chunked")])
            response = None
            for number in (b"1", b"2", b"3"):
                connection.send(b"1\r\n.\r\n")
                response = response or connection.read_head()
                self.assertEqual(connection.read_chunk(), number)
            connection.send(b"0\r\n\r\n")
            self.assertEqual(connection.read_chunk(), b"")

    def test_a_body_sent_byte_by_byte_is_complete(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/calls?read", [("Content-Length", "100")])
            for number in range(100):
                connection.send(b"%d" % (number % 10))
            self.assertEqual(json.loads(connection.read_response().body), ["0123456789" * 10])

    # Clients that leave

    def test_a_client_gone_in_the_body_is_an_oserror(self):
        framings = ([("Content-Length", "10")], b"12345"), ([("Transfer-Encoding", "chunked")], b"5\r\n123")
        for headers, part in framings:
            for reset in (False, True):
                with self.subTest(headers=headers, reset=reset):
                    connection = self.connect()
                    connection.send_request("POST", "/outcome", [*headers, ("Expect", "100-continue")])
                    self.assertEqual(connection.read_head().status, 100)
                    connection.send(part)
                    connection.close(reset=reset)
                    self.assertEqual(self.next_outcome()[1], True)

    def next_outcome(self):
        outcomes = []
        while not outcomes:  # each pass is a request that the server answers
            outcomes = json.loads(self.request("GET", "/outcomes").body)
        return outcomes[0]

    # 100-continue

    def test_100_continue_comes_when_the_application_reads(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/calls?read", [("Content-Length", "4"), ("Expect", "100-continue")])
            self.assertEqual(connection.read_head().status, 100)
            connection.send(b"body")
            self.assertEqual(json.loads(connection.read_response().body), ["body"])
            self.assertEqual(connection.get("/").status, 200)

    def test_no_100_continue_when_the_application_does_not_read(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/", [("Content-Length", "4"), ("Expect", "100-continue")])
            self.assertEqual(connection.read_head().status, 200)

    def test_no_100_continue_when_the_body_has_arrived(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/calls?read", [("Expect", "100-continue")], b"body")
            response = connection.read_head()
            if response.status == 100:  # allowed, if it was sent before the body was seen
                response = connection.read_head()
            self.assertEqual(json.loads(connection.read_body(response).body), ["body"])

    def test_no_100_continue_for_version_1_0(self):
        with self.server.connect() as connection:
            connection.send_request("POST", "/calls?read", [("Content-Length", "4"), ("Expect", "100-continue")],
                                    version="1.0")
            connection.send(b"body")
            self.assertEqual(connection.read_head().status, 200)

    def test_an_unknown_expectation_is_refused_or_ignored(self):
        response = self.request("POST", "/calls?read", [("Expect", "miracles")], b"body")
        self.assertIn(response.status, (200, 417))

    # wsgi.errors

    def test_errors_go_to_the_error_log(self):
        self.assertEqual(self.request("GET", "/errors").body, b"written")
        self.expect_log("one line to wsgi.errors$")
        self.expect_log("and two pieces: \u00e9\u20ac$")
