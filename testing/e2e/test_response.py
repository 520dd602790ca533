"""What applications may answer, and what the server refuses to send."""

import json
import os
import tempfile

from case import ServerCase, on_each_engine
from wire import WireError

FILE = bytes(range(256)) * 4096


class ResponseCase(ServerCase):
    app = "response_app"

    def get(self, target, method="GET", version="1.1", headers=()):
        return self.request(method, target, headers, version=version)

    def closed(self):
        return json.loads(self.get("/closed").body)

    def expect_closed(self, name):
        """The iterable of this name has been closed, exactly once. Each pass is a request the server answers."""
        closed = []
        while not closed:
            closed = self.closed()
        self.assertEqual(closed + self.closed(), [name])


@on_each_engine
class Shapes(ResponseCase):
    def test_content_length_of_the_application_is_kept(self):
        response = self.get("/hello")
        self.assertEqual((response.status, response.reason, response.body), (200, "OK", b"hello"))
        self.assertEqual(response.get("Content-Length"), "5")
        self.assertIsNone(response.get("Transfer-Encoding"))

    def test_a_list_of_one_piece_gets_a_content_length(self):
        response = self.get("/list-without-length")
        self.assertEqual((response.get("Content-Length"), response.body), ("9", b"one piece"))

    def test_an_empty_list_has_length_zero(self):
        response = self.get("/empty-list")
        self.assertEqual((response.get("Content-Length"), response.body), ("0", b""))

    def test_an_iterator_is_sent_in_chunks(self):
        response = self.get("/pieces")
        self.assertEqual(response.get("Transfer-Encoding"), "chunked")
        self.assertEqual(response.body, b"first,second,third")

    def test_an_iterator_with_content_length_is_not_chunked(self):
        response = self.get("/pieces-with-length")
        self.assertIsNone(response.get("Transfer-Encoding"))
        self.assertEqual(response.body, b"first,second,th")

    def test_start_response_inside_a_generator_works(self):
        response = self.get("/starts-late")
        self.assertEqual((response.status, response.reason, response.body), (201, "Created", b"late"))

    def test_status_and_headers_are_sent_as_given(self):
        response = self.get("/odd-headers")
        self.assertEqual(response.reason, "Fine by me")
        self.assertEqual(response.all("Set-Cookie"), ["a=1", "b=2"])
        self.assertIn(("x-lower", "kept"), response.headers)
        self.assertEqual(response.get("X-Latin"), "caf\u00e9")
        self.assertEqual(response.get("X-Empty"), "")
        self.assertEqual(response.all("Date"), ["Sun, 06 Nov 1994 08:49:37 GMT"])
        self.assertEqual(response.all("Server"), ["mine"])

    def test_wishes_about_the_connection_are_left_out(self):
        with self.server.connect() as connection:
            for _ in range(2):
                response = connection.get("/connection-wishes")
                self.assertEqual((response.status, response.body), (200, b"hello"))
                self.assertIsNone(response.get("Keep-Alive"))
                self.assertNotEqual(response.get("Connection"), "close")

    def test_a_date_is_added(self):
        self.assertRegex(self.get("/hello").get("Date"), r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

    def test_head_has_the_headers_of_get_and_no_body(self):
        for target in ("/hello", "/pieces", "/list-without-length", "/pieces-with-length", "/file?None,1000,None"):
            with self.subTest(target=target), self.server.connect() as connection:
                head = connection.request("HEAD", target)
                self.assertEqual(head.status, 200)
                got = connection.get(target)  # a body sent for HEAD would be read as this response
                self.assertEqual(head.get("Content-Length", got.get("Content-Length")), got.get("Content-Length"))
        self.closed()

    def test_no_content_and_not_modified_have_no_body(self):
        for code in (204, 304):
            with self.subTest(code=code), self.server.connect() as connection:
                response = connection.get(f"/status/{code}")
                self.assertEqual(response.status, code)
                self.assertIsNone(response.get("Transfer-Encoding"))
                if code == 204:
                    self.assertIsNone(response.get("Content-Length"))
                self.assertEqual(connection.get("/hello").body, b"hello")

    def test_unusual_codes_are_sent(self):
        for code in (200, 299, 418, 451, 599):
            response = self.get(f"/status/{code}")
            self.assertEqual((response.status, response.body), (code, b"a body"))

    def test_version_1_0_gets_no_chunks(self):
        response = self.get("/pieces", version="1.0")
        self.assertIsNone(response.get("Transfer-Encoding"))
        self.assertEqual(response.body, b"first,second,third")

    def test_write_sends_before_what_is_returned(self):
        self.assertEqual(self.get("/write").body, b"written,twice,returned")
        self.assertEqual(self.get("/write", version="1.0").body, b"written,twice,returned")
        self.assertEqual(self.get("/write-with-length").body, b"hello world!")

    def test_a_large_response_is_complete(self):
        for target in ("/large?8", "/large-at-once?8"):
            response = self.get(target)
            self.assertEqual(len(response.body), 8 << 20)
            self.assertEqual(response.body, bytes(range(256)) * (32 << 10))


@on_each_engine
class Streaming(ResponseCase):
    """A piece is with the client before the application is asked for the next: PEP 3333's rule for servers."""

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.fifo = os.path.join(directory.name, "fifo")
        os.mkfifo(self.fifo)

    def assert_streams(self, target):
        with self.server.connect() as connection:
            connection.send_request("GET", f"{target}?{self.fifo}")
            try:
                head = connection.read_head()
                self.assertEqual(head.get("Transfer-Encoding"), "chunked")
                self.assertEqual(connection.read_chunk(), b"first")
            finally:  # lets the application go on in any case: it blocks the whole worker
                os.close(os.open(self.fifo, os.O_WRONLY))
            self.assertEqual(connection.read_chunk(), b"second")
            self.assertEqual(connection.read_chunk(), b"")

    def test_a_generators_pieces_are_sent_as_they_come(self):
        self.assert_streams("/stream")

    def test_what_write_was_given_is_sent_at_once(self):
        self.assert_streams("/stream-write")


@on_each_engine
class ExcInfo(ResponseCase):
    def test_replaces_the_head_while_it_is_unsent(self):
        response = self.get("/replaced-before-body")
        self.assertEqual((response.status, response.reason), (503, "Replaced"))
        self.assertEqual(response.all("X-From"), ["second"])
        self.assertEqual(response.body, b"the second one")

    def test_is_raised_again_once_the_head_is_sent(self):
        self.assert_cut_off("/replaced-after-body", b"too late")
        self.expect_log("ValueError: raised again by start_response")

    def test_start_response_twice_without_it_is_an_error(self):
        self.assertEqual(self.get("/started-twice").status, 500)
        self.expect_log(r"^\w+(Error|Exception).*start_response")

    def assert_cut_off(self, target, sent):
        """The body breaks off after `sent`, visibly: no last chunk, and the connection ends."""
        with self.server.connect() as connection:
            connection.send_request("GET", target)
            connection.read_head()
            self.assertEqual(connection.read_chunk(), sent)
            connection.expect_close()

    def test_an_exception_in_the_body_cuts_the_response_off(self):
        self.assert_cut_off("/raises-in-body", b"partial")
        self.expect_log("RuntimeError: raised in the body")


@on_each_engine
class BrokenApplications(ResponseCase):
    def assert_error(self, target, log):
        with self.server.connect() as connection:
            response = connection.get(target)
            self.assertEqual(response.status, 500, response)
            self.assertNotIn(b"Traceback", response.body)
            if response.get("Connection", "").lower() != "close":
                self.assertEqual(connection.get("/hello").body, b"hello")
        block = self.expect_log(log)
        self.assert_alive()
        return block

    def test_an_exception_is_a_500_and_its_traceback_is_logged(self):
        block = self.assert_error("/raises", "^RuntimeError: raised before start_response")
        self.assertIn("Traceback (most recent call last):", "\n".join(block))
        self.assertIn("response_app.py", "\n".join(block))

    def test_an_exception_after_start_response_is_a_500(self):
        self.assert_error("/raises-after-start", "^RuntimeError: raised after start_response")

    def test_an_exception_before_the_first_piece_is_a_500(self):
        self.assert_error("/raises-in-first", "^RuntimeError: raised before the first piece")

    def test_system_exit_ends_the_request_not_the_server(self):
        self.assert_error("/raises-system-exit", "SystemExit")

    def test_never_calling_start_response_is_a_500(self):
        self.assert_error("/never-starts", "start_response")

    def test_returning_none_is_a_500(self):
        self.assert_error("/returns-none", "NoneType|None")

    def test_text_instead_of_bytes_is_a_500(self):
        self.assert_error("/yields-text", "str|bytes")

    def test_a_body_shorter_than_its_length_ends_the_connection(self):
        with self.server.connect() as connection:
            connection.send_request("GET", "/too-short")
            head = connection.read_head()
            if head.status == 500:  # noticed before the head was sent
                return
            self.assertEqual(head.get("Content-Length"), "10")
            self.assertEqual(connection.read_until_close(), b"short")
        self.expect_log("(?i)content-length|short")

    def test_a_body_longer_than_its_length_is_cut_to_it(self):
        with self.server.connect() as connection:
            connection.send_request("GET", "/too-long")
            response = connection.read_response()
            self.assertEqual(response.body, b"exact")
            connection.finish_sending()
            self.assertEqual(connection.read_until_close(), b"")
        self.expect_log("(?i)content-length|long")

    def test_a_head_that_http_does_not_allow_is_a_500(self):
        names = json.loads(self.get("/bad-starts").body)
        self.assertGreater(len(names), 20)
        for name in names:
            with self.subTest(name=name), self.server.connect() as connection:
                connection.send_request("GET", f"/bad/{name}")
                response = connection.read_response()
                self.assertEqual(response.status, 500, response)
                self.assertIsNone(response.get("X-Injected"))
                self.expect_log(r"^\w+(Error|Exception)\b")
        self.assert_alive()


@on_each_engine
class Closing(ResponseCase):
    def test_iterables_are_closed_once(self):
        for kind in ("normal", "empty", "no-content"):
            with self.subTest(kind=kind):
                self.get(f"/closing/{kind}")
                self.expect_closed(kind)

    def test_an_iterable_is_closed_after_head(self):
        self.get("/closing/head", method="HEAD")
        self.expect_closed("head")

    def test_an_iterable_that_raises_is_closed(self):
        with self.server.connect() as connection:
            connection.send_request("GET", "/closing/failing")
            with self.assertRaises(WireError):
                connection.read_response()
        self.expect_log("RuntimeError: raised while iterated")
        self.expect_closed("failing")

    def test_an_iterable_without_start_response_is_closed(self):
        self.assertEqual(self.get("/closing/unstarted").status, 500)
        self.expect_log("start_response")
        self.expect_closed("unstarted")

    def test_a_close_that_raises_is_logged(self):
        self.assertEqual(self.get("/closing/close-raises").body, b"fine")
        self.expect_log("ZeroDivisionError")
        self.assert_alive()

    def test_an_iterable_is_closed_when_the_client_goes_away(self):
        for reset in (False, True):
            with self.subTest(reset=reset):
                connection = self.connect()
                connection.send_request("GET", "/closing/endless")
                connection.read_head()
                connection.read_chunk()
                connection.close(reset=reset)
                self.expect_closed("endless")

    def test_an_iterable_is_closed_when_the_client_goes_away_in_the_body(self):
        connection = self.connect()
        connection.send_request("POST", "/closing/reading", [("Content-Length", "10")])
        connection.read_head()
        self.assertEqual(connection.read_chunk(), b"go")
        connection.close(reset=True)
        self.expect_closed("reading")


@on_each_engine
class FileWrapper(ResponseCase):
    def tearDown(self):
        self.closed()

    def test_sends_the_whole_file(self):
        response = self.get("/file?None,None,None")
        self.assertEqual(response.body, FILE)
        self.expect_closed("file")

    def test_starts_at_the_files_position(self):
        self.assertEqual(self.get("/file?1000,None,None").body, FILE[1000:])

    def test_stops_at_the_content_length(self):
        response = self.get("/file?1000,5000,None")
        self.assertEqual((response.get("Content-Length"), response.body), ("5000", FILE[1000:6000]))

    def test_takes_a_block_size(self):
        self.assertEqual(self.get("/file?7,100000,512").body, FILE[7:100007])

    def test_at_the_end_of_the_file_the_body_is_empty(self):
        self.assertEqual(self.get(f"/file?{len(FILE)},None,None").body, b"")

    def test_a_file_shorter_than_the_content_length_ends_the_connection(self):
        with self.server.connect() as connection:
            connection.send_request("GET", f"/file?{len(FILE) - 10},20,None")
            head = connection.read_head()
            if head.status != 500:
                self.assertEqual(connection.read_until_close(), FILE[-10:])
        self.expect_log("(?i)content-length|short")

    def test_works_for_version_1_0(self):
        self.assertEqual(self.get("/file?5,None,None", version="1.0").body, FILE[5:])

    def test_closes_the_file_for_head(self):
        self.get("/file?None,1000,None", method="HEAD")
        self.expect_closed("file")

    def test_follows_the_position_of_a_buffered_file(self):
        self.assertEqual(self.get("/file-buffered").body, FILE[10:])

    def test_takes_a_file_in_memory(self):
        self.assertEqual(self.get("/file-bytesio").body, (b"0123456789" * 10000)[5:])

    def test_takes_a_pipe(self):
        self.assertEqual(self.get("/file-pipe").body, b"through a pipe")

    def test_takes_anything_with_read(self):
        self.assertEqual(self.get("/file-only-read").body, b"only read")

    def test_can_be_iterated(self):
        self.assertEqual(self.get("/file-iterated").body, b"\0" * 4)

    def test_the_connection_is_reused(self):
        with self.server.connect() as connection:
            for _ in range(3):
                self.assertEqual(len(connection.get("/file?None,100000,None").body), 100000)
            self.assertEqual(connection.get("/hello").body, b"hello")
            self.assertEqual(self.closed(), ["file"] * 3)

    def test_a_client_gone_in_a_file_closes_it(self):
        connection = self.connect(receive_buffer_bytes=4096)
        connection.send_request("GET", "/file?None,None,None")
        connection.read_head()
        connection.close(reset=True)
        self.expect_closed("file")
