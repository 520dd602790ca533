"""The uwsgi protocol: behind nginx, and byte by byte."""

import concurrent.futures
import json
import os
import re
import shutil
import socket
import tempfile
import threading
import time
import zlib

from case import ServerCase
from components import Nginx
from fixture import APPS, Server, eventually
from master import MasterCase
from uwsgi_wire import ask, connect, packet, read_all
from wire import DEADLINE_S, Connection, chunked

MEBIBYTE = 1 << 20

# What every location here wants: an upstream connection that is not left waiting, and headers that show its address.
LOCATIONS = """
    location / {{ uwsgi_pass {tcp}; uwsgi_read_timeout 60s; }}
    location /unix/ {{ rewrite ^/unix(/.*)$ $1 break; uwsgi_pass unix:{unix}; }}
    location /unbuffered/ {{
      rewrite ^/unbuffered(/.*)$ $1 break;
      uwsgi_pass {tcp}; uwsgi_buffering off; uwsgi_request_buffering off;
    }}
    location /loads/ {{
      rewrite ^/loads(/.*)$ $1 break;
      uwsgi_pass {tcp};
      include /etc/nginx/uwsgi_params;
      uwsgi_param UWSGI_FILE {file}; uwsgi_param UWSGI_MODULE this; uwsgi_param UWSGI_SETENV LOADED=1;
      uwsgi_param UWSGI_SCHEME https; uwsgi_param wsgi.errors nothing; uwsgi_param SERVER_NAME another;
    }}
"""


class NginxCase(ServerCase):
    """One server behind one nginx. Over HTTP it is the first listener, over uwsgi the second and the third."""

    app = "uwsgi_app"
    flags = ("--async_cores=256", "--access_log=-")
    usual = (r"(?s)Traceback|File \"|raise RuntimeError|RuntimeError: raised in the body|^\s", r"raised in the body")
    nginx = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="greenring-")
        os.chmod(cls.directory, 0o755)  # nginx's workers are another user's
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.socket_path = os.path.join(cls.directory, "socket")
        cls.flags = (*cls.flags, "--uwsgi=127.0.0.1:0", f"--uwsgi=unix:{cls.socket_path}")
        super().setUpClass()
        _, (host, port), _ = cls.server.listeners
        cls.nginx = Nginx(LOCATIONS.format(tcp=f"{host}:{port}", unix=cls.socket_path,
                                           file=os.path.join(cls.directory, "loaded.py"))).start()
        cls.addClassCleanup(cls.nginx.stop)

    def front(self):
        """A connection to nginx."""
        connection = Connection(self.nginx.address)
        self.addCleanup(connection.close)
        return connection

    def ask_front(self, *args, **kwargs):
        with Connection(self.nginx.address) as connection:
            return connection.request(*args, **kwargs)


class BehindNginx(NginxCase):
    flags = (*NginxCase.flags, "--cancel_on_disconnect=on")

    def test_over_tcp_and_over_a_unix_socket(self):
        for prefix in ("", "/unix"):
            response = self.ask_front("GET", f"{prefix}/environ?a=b%20c", headers=[("X-Of-Client", "d"), ("X_under", "e")])
            self.assertEqual(response.status, 200)
            told = json.loads(response.body)
            for name, value in (("REQUEST_METHOD", "GET"), ("PATH_INFO", "/environ"), ("SCRIPT_NAME", ""),
                                ("QUERY_STRING", "a=b%20c"), ("REQUEST_URI", f"{prefix}/environ?a=b%20c"),
                                ("HTTP_X_OF_CLIENT", "d"), ("HTTP_HOST", "test"), ("REMOTE_ADDR", "127.0.0.1"),
                                ("SERVER_PROTOCOL", "HTTP/1.1"), ("wsgi.url_scheme", "http"), ("CONTENT_LENGTH", ""),
                                ("SERVER_PORT", str(self.nginx.port))):
                self.assertEqual(told[name], value, name)
            self.assertNotIn("HTTP_X_UNDER", told, "nginx drops what WSGI could not tell from X-Under")
            self.assertNotIn("RAW_URI", told)

    def test_bodies_small_and_large(self):
        for prefix in ("", "/unix", "/unbuffered"):
            for body in (b"", b"x", os.urandom(5 * MEBIBYTE)):
                response = self.ask_front("POST", f"{prefix}/count", body=body)
                self.assertEqual(json.loads(response.body), [len(body), zlib.crc32(body), str(len(body)), None])

    def test_nginx_decodes_what_is_chunked(self):
        """It says how long the body is, then, even where it does not buffer."""
        pieces = [os.urandom(100_000) for _ in range(3)]
        body = b"".join(pieces)
        for prefix in ("", "/unbuffered"):
            response = self.ask_front("POST", f"{prefix}/count", headers=[("Transfer-Encoding", "chunked")],
                                      body=chunked(*pieces))
            self.assertEqual(json.loads(response.body), [len(body), zlib.crc32(body), str(len(body)), None])

    def test_a_request_that_is_not_buffered_is_read_as_it_comes(self):
        connection = self.front()
        connection.send(b"POST /unbuffered/counted-bytes HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n")
        for number in (b"1", b"2", b"3"):
            connection.send(b"x")
            if number == b"1":
                self.assertEqual(connection.read_head().status, 200)
            self.assertEqual(connection.read_chunk(), number)
        self.assertEqual(connection.read_chunk(), b"")

    def test_a_response_that_is_not_buffered_arrives_piece_by_piece(self):
        fifo = os.path.join(self.directory, "fifo")
        os.mkfifo(fifo)
        connection = self.front()
        connection.send_request("GET", f"/unbuffered/stream?{fifo}")
        self.assertEqual(connection.read_head().status, 200)
        self.assertEqual(connection.read_chunk(), b"first")
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.assertEqual(connection.read_chunk(), b"second")
        self.assertEqual(connection.read_chunk(), b"")

    def test_a_response_that_ends_early_is_no_complete_one(self):
        connection = self.front()
        connection.send_request("GET", "/unbuffered/cut-short")
        self.assertEqual(connection.read_head().status, 200)
        self.assertEqual(connection.read_chunk(), b"partial")
        self.expect_log("RuntimeError: raised in the body")
        with self.assertRaises(Exception, msg="the last chunk must not come"):
            connection.read_chunk()

    def test_statuses_without_a_body_and_head(self):
        for code in (204, 304, 200, 404, 503):
            response = self.ask_front("GET", f"/status/{code}")
            self.assertEqual((response.status, response.get("X-Code")), (code, str(code)))
            self.assertEqual(response.body, b"" if code in (204, 304) else b"a body")
        response = self.ask_front("HEAD", "/status/200")
        self.assertEqual((response.status, response.get("X-Code"), response.body), (200, "200", b""))

    def test_clients_keep_their_connection_to_nginx(self):
        connection = self.front()
        for _ in range(20):
            self.assertEqual(connection.request("GET", "/").body, b"hello")

    def test_a_client_that_goes_away_ends_its_request(self):
        connection = self.front()
        connection.send_request("GET", "/sleep?60")
        eventually(lambda: self.ask_front("GET", "/").status == 200, "an answer")
        connection.close()
        self.expect_log(r"GET /sleep\?60: the client is gone; the request was cancelled after ")
        eventually(lambda: json.loads(self.ask_front("GET", "/events").body) == ["cancelled"], "the exception")

    def test_a_hundred_wait_beside_each_other(self):
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(100) as threads:
            bodies = list(threads.map(lambda _: self.ask_front("GET", "/sleep?1").body, range(100)))
        self.assertEqual(bodies, [b"slept"] * 100)
        self.assertGreaterEqual(time.monotonic() - began, 1)
        self.assertLess(time.monotonic() - began, 20, "they did not wait one after the other")

    def test_nothing_loads_code_or_speaks_for_the_server(self):
        path = os.path.join(self.directory, "loaded.py")
        with open(path, "w") as file:
            file.write(f"open({path + '.ran'!r}, 'w')\ndef application(environ, start_response): return []\n")
        response = self.ask_front("GET", "/loads/environ")
        told = json.loads(response.body)
        self.assertEqual([name for name in told if name.startswith("UWSGI_")], [])
        self.assertNotIn("wsgi.errors", told, "it is still a stream")
        self.assertEqual(told["wsgi.url_scheme"], "https")
        self.assertEqual(told["SERVER_NAME"], "another", "of a param that is overridden the last one counts")
        self.assertFalse(os.path.exists(path + ".ran"))

    def test_the_access_log_names_the_client_and_what_it_said(self):
        self.ask_front("GET", "/sleep?0", headers=[("User-Agent", "of-a-test"), ("Referer", "http://r/")])
        line = r'^127\.0\.0\.1 - - \[[^]]*\] "GET /sleep\?0 HTTP/1.1" 200 5 "http://r/" "of-a-test"$'
        eventually(lambda: re.search(line, self.server.stdout(), re.MULTILINE), line)


class ByteByByte(NginxCase):
    """Without nginx: what a broken or hostile peer sends. Everything is refused, and the next request is served."""

    flags = (*NginxCase.flags, "--header_timeout=1s")
    usual = (*NginxCase.usual, "refused a request with 501: ")

    @property
    def uwsgi(self):
        return self.server.listeners[1]

    def assert_refused(self, request, status=b"400"):
        answer = ask(self.uwsgi, request)
        self.assertTrue(answer.startswith(b"HTTP/1.1 " + status + b" "), answer[:200])
        self.assertTrue(ask(self.uwsgi, packet(PATH_INFO="/")).endswith(b"\r\n\r\nhello"))

    def test_an_answer_is_the_applications_alone(self):
        self.assertEqual(ask(self.uwsgi, packet(PATH_INFO="/")),
                         b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
        self.assertEqual(ask(self.socket_path, packet(PATH_INFO="/status/200", REQUEST_METHOD="HEAD")),
                         b"HTTP/1.1 200 Whatever\r\nX-Code: 200\r\n\r\n")

    def test_what_is_malformed_is_refused(self):
        for pairs in ([(b"", b"x")], [(b"A B", b"x")], [(b"HTTP_X", b"a\r\nB: c")], [(b"X", b"\0")],
                      [(b"CONTENT_LENGTH", b"1x")], [(b"CONTENT_LENGTH", b"1"), (b"CONTENT_LENGTH", b"2")],
                      [(b"REQUEST_METHOD", b"G T")], [(b"HTTP_TRANSFER_ENCODING", b"gzip")]):
            with self.subTest(pairs):
                self.assert_refused(packet(pairs=pairs))
        self.assert_refused(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        self.assert_refused(b"\x16\x03\x01\x02\x00\x01\x00")
        self.assert_refused(packet()[:1] + b"\x05" + packet()[2:])
        self.assert_refused(packet(pairs=[(b"HTTP_X", b"a" * 9000)]), b"431")
        self.assert_refused(b"\0\xff\xff\0", b"431")

    def test_the_corpus(self):
        folder = os.path.join(os.path.dirname(APPS), "corpus", "uwsgi", "malformed")
        for name in sorted(os.listdir(folder)):
            with self.subTest(name), open(os.path.join(folder, name), "rb") as file:
                self.assertRegex(ask(self.uwsgi, file.read()), rb"^HTTP/1\.1 (4\d\d|501) ")
        self.assert_alive()

    def test_a_truncated_packet_is_waited_for_as_long_as_a_head(self):
        began = time.monotonic()
        answer = ask(self.uwsgi, packet(PATH_INFO="/")[:-1])
        self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.assertGreaterEqual(time.monotonic() - began, 1 - 0.26, "the timeout, less a tick")

    def test_a_response_that_breaks_off_is_reset(self):
        with connect(self.uwsgi) as client:
            client.sendall(packet(PATH_INFO="/cut-short"))
            with self.assertRaises(ConnectionResetError):
                while client.recv(65536):
                    pass
        self.expect_log("RuntimeError: raised in the body")

    def test_a_body_that_ends_early_is_an_error(self):
        with connect(self.uwsgi) as client:
            client.sendall(packet(PATH_INFO="/count", REQUEST_METHOD="POST", CONTENT_LENGTH="10") + b"short")
            client.shutdown(socket.SHUT_WR)
            self.assertNotIn(b"200 OK", read_all(client))
        self.assert_alive()

    def test_a_chunked_body_without_a_length_is_decoded(self):
        body = packet(PATH_INFO="/count", REQUEST_METHOD="POST", CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")
        answer = ask(self.uwsgi, body + chunked(b"abc", b"de"))
        self.assertEqual(json.loads(answer.partition(b"\r\n\r\n")[2]), [5, zlib.crc32(b"abcde"), "", "chunked"])
        self.assert_refused(body + b"x\r\n")

    def test_a_ping_is_answered(self):
        self.assertEqual(ask(self.uwsgi, b"\x64\0\0\0"), b"\x64\0\0\1")

    def test_one_byte_at_a_time(self):
        with connect(self.uwsgi) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in packet(PATH_INFO="/"):
                client.send(bytes([byte]))
            self.assertTrue(read_all(client).endswith(b"hello"))

    def test_each_listener_speaks_its_own_protocol(self):
        self.assertEqual(self.connect().get("/").body, b"hello")
        with connect(self.server.address) as client:
            client.sendall(packet(PATH_INFO="/"))
            self.assertTrue(read_all(client).startswith(b"HTTP/1.1 400 "))


ROUTES = f"""
pools:
  - name: shop
    application: {{target: uwsgi_app, working_directory: {APPS}}}
    listeners: [{{address: "127.0.0.1:@", protocol: UWSGI}}]
    routes: [{{path_prefix: /shop}}]
  - name: blog
    application: {{target: uwsgi_app, working_directory: {APPS}}}
    listeners: [{{address: "127.0.0.1:@", protocol: uwsgi}}]
    routes: [{{host: blog.example.com}}, {{path_prefix: /blog}}]
"""


class UnderAMaster(MasterCase):
    def nginx_for(self, address):
        host, port = address
        nginx = Nginx(f"    location / {{ uwsgi_pass {host}:{port}; uwsgi_read_timeout 60s; }}\n").start()
        self.addCleanup(nginx.stop)
        return nginx

    def get(self, nginx, target, host="test"):
        with Connection(nginx.address) as connection:
            return connection.request("GET", target, headers=[("Host", host)])

    def test_pools_share_an_address_by_their_routes(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = self.path("greenring.yaml", ROUTES.replace("@", str(port)))
        with self.master(config=config) as server:
            server.await_ready("shop")
            server.await_ready("blog")
            nginx = self.nginx_for(("127.0.0.1", port))
            for target, host, mount, path in (("/shop/environ", "test", "/shop", "/environ"),
                                              ("/blog/environ", "test", "/blog", "/environ"),
                                              ("/%62log/environ", "test", "/blog", "/environ"),
                                              ("/environ", "blog.example.com", "", "/environ")):
                for _ in range(4):  # whichever worker has accepted it
                    told = json.loads(self.get(nginx, target, host).body)
                    self.assertEqual((told["SCRIPT_NAME"], told["PATH_INFO"], told["REQUEST_URI"]), (mount, path, target))
            self.assertEqual(self.get(nginx, "/nobody").status, 404)
            body = os.urandom(200_000)
            for target in ("/shop/count", "/blog/count"):
                with Connection(nginx.address) as connection:
                    response = connection.request("POST", target, body=body)
                self.assertEqual(json.loads(response.body)[:2], [len(body), zlib.crc32(body)])
            # What nginx has made of the path decides, not what the client has written.
            told = json.loads(self.get(nginx, "/blog/../shop/environ").body)
            self.assertEqual((told["SCRIPT_NAME"], told["PATH_INFO"]), ("/shop", "/environ"))

    def test_nothing_fails_while_workers_are_replaced(self):
        with self.master("--workers=2", "--uwsgi=127.0.0.1:0", app="uwsgi_app", http=()) as server:
            self.assertEqual(len(server.listeners), 1, "without --http there is no HTTP")
            nginx = self.nginx_for(server.address)
            failures, served, stop = [], [0], threading.Event()

            def load():
                while not stop.is_set():
                    try:
                        response = self.get(nginx, "/sleep?0.01")
                        failures.extend([response.status] if response.status != 200 else [])
                        served[0] += 1
                    except Exception as error:  # whatever it is, it is one
                        failures.append(repr(error))

            threads = [threading.Thread(target=load) for _ in range(8)]
            for thread in threads:
                thread.start()
            try:
                self.assert_done(server, server.change("ReloadPool"))
                self.assert_done(server, server.update(workers=1))
                self.assert_done(server, server.update(asyncCores=64, engine="FCONTEXT"))
                self.assert_done(server, server.update(workers=2))
                before = served[0]
                eventually(lambda: served[0] > before + 50, "more requests")
            finally:
                stop.set()
                for thread in threads:
                    thread.join(DEADLINE_S)
            self.assertEqual(failures, [])


class Alone(MasterCase):
    """One process without a master."""

    def test_uwsgi_alone(self):
        with Server("uwsgi_app", "--uwsgi=127.0.0.1:0", http=()) as server:
            self.assertEqual(len(server.listeners), 1)
            self.assertTrue(ask(server.address, packet(PATH_INFO="/")).endswith(b"hello"))

    def test_requests_in_flight_end_with_the_drain(self):
        with Server("uwsgi_app", "--uwsgi=127.0.0.1:0", http=()) as server:
            with connect(server.address) as client:
                client.sendall(packet(PATH_INFO="/sleep", QUERY_STRING="0.5"))
                eventually(lambda: ask(server.address, packet(PATH_INFO="/")), "an answer")
                server.terminate()
                self.assertTrue(read_all(client).endswith(b"slept"))
