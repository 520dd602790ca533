"""A web server, HTTP or HTTPS, in threads of this process: /0.5 answers "waited 0.5" after half a second."""

import http.server
import ssl
import subprocess
import tempfile
import threading
import time


class SlowPage:
    """`url` ends without a slash. With `tls`, `authority` is the file of the CA that signed the server's certificate."""

    def __init__(self, tls=False):
        self._tls = tls
        self._directory = None
        self._server = None
        self.authority = None

    @property
    def port(self):
        return self._server.server_address[1]

    @property
    def url(self):
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    def start(self):
        context = None
        if self._tls:
            self._directory = tempfile.TemporaryDirectory(prefix="greenring-")
            self.authority, certificate, key = make_certificate(self._directory.name)
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate, key)
        self._server = _Server(("127.0.0.1", 0), context)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        if self._directory is not None:
            self._directory.cleanup()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True
    block_on_close = False

    def __init__(self, address, context):
        self._context = context
        super().__init__(address, _Handler)

    def finish_request(self, request, client_address):
        if self._context is None:
            return super().finish_request(request, client_address)
        with self._context.wrap_socket(request, server_side=True) as secured:  # the handshake, in the client's thread
            super().finish_request(secured, client_address)

    def handle_error(self, request, client_address):
        """A client that left early is its own affair."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(float(self.path[1:]))
        body = b"waited " + self.path[1:].encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def make_certificate(directory):
    """The files (authority, certificate, key): a certificate of `localhost` and a CA of its own that signed it."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority = f"{directory}/authority"
    server = f"{directory}/server"
    for command in (
        [*key, "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-subj", "/CN=Greenring tests",
         "-addext", "basicConstraints=critical,CA:TRUE"],
        [*key, "-keyout", f"{server}.key", "-out", f"{server}.pem", "-subj", "/CN=localhost",
         "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-addext", "basicConstraints=critical,CA:FALSE",
         "-addext", "subjectAltName=DNS:localhost"],
    ):  # fmt: skip
        done = subprocess.run(["openssl", "req", "-x509", "-days", "2", *command], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"openssl: {done.stderr}")
    return f"{authority}.pem", f"{server}.pem", f"{server}.key"
