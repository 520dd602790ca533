"""HTTP/1.1 byte by byte: a raw socket and a response reader that forgives nothing.

    with Connection(("127.0.0.1", 8080)) as connection:
        connection.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        response = connection.read_response()

Every wait has the deadline DEADLINE_S and fails with what had arrived until then.
"""

import os
import re
import socket
import struct

DEADLINE_S = float(os.environ.get("GREENRING_E2E_DEADLINE_S", "20"))

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)")


class WireError(AssertionError):
    """The server sent what HTTP does not allow, closed early, or said nothing in time."""


class Response:
    """One response. `headers` keeps order and duplicates; `chunks` is None unless it was chunked."""

    def __init__(self, version, status, reason, headers):
        self.version, self.status, self.reason, self.headers = version, status, reason, headers
        self.body, self.chunks = b"", None

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:200]!r}>"

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        if len(values) > 1:
            raise WireError(f"more than one {name}: {values}")
        return values[0] if values else default

    @property
    def text(self):
        return self.body.decode("utf-8")


class Connection:
    """A client socket to `address`: (host, port) or the path of a Unix socket."""

    def __init__(self, address, receive_buffer_bytes=None):
        if isinstance(address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(DEADLINE_S)
        try:
            self.socket.connect(address)
            if family != socket.AF_UNIX:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.socket.close()
            raise
        self._buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, reset=False):
        """Closes; with `reset` the peer gets RST instead of FIN."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # Sending

    def send(self, data):
        self.socket.sendall(data)

    def send_request(self, method="GET", target="/", headers=(), body=None, version="1.1"):
        self.send(request_bytes(method, target, headers, body, version))

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def request(self, method="GET", target="/", headers=(), body=None, version="1.1"):
        self.send_request(method, target, headers, body, version)
        return self.read_response(method)

    def get(self, target="/", headers=()):
        return self.request("GET", target, headers)

    def post(self, target, body, headers=()):
        return self.request("POST", target, headers, body)

    # Receiving

    def open_window(self):
        """Ends the slowness that a small receive buffer made."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def _fill(self, waiting_for):
        try:
            data = self.socket.recv(256 * 1024)
        except socket.timeout:
            raise WireError(f"no {waiting_for} in {DEADLINE_S} s; had {bytes(self._buffer[:300])!r}") from None
        self._buffer += data
        return bool(data)

    def read_line(self, waiting_for="line"):
        while (end := self._buffer.find(b"\n")) < 0:
            if not self._fill(waiting_for):
                raise WireError(f"closed while waiting for {waiting_for}; had {bytes(self._buffer[:300])!r}")
        line = bytes(self._buffer[:end + 1])
        del self._buffer[:end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            raise WireError(f"bad line {line!r}")
        return line[:-2]

    def read_exactly(self, count, waiting_for="bytes"):
        while len(self._buffer) < count:
            if not self._fill(waiting_for):
                raise WireError(f"closed after {len(self._buffer)} of {count} {waiting_for}")
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def read_head(self):
        """Status line and headers of the next response, its body still unread."""
        line = self.read_line("status line")
        match = _STATUS_LINE.fullmatch(line)
        if not match:
            raise WireError(f"bad status line {line!r}")
        response = Response(f"1.{match[1].decode()}", int(match[2]), match[3].decode("latin-1"), [])
        while line := self.read_line("header"):
            name, colon, value = line.partition(b":")
            if not colon or not _TOKEN.fullmatch(name):
                raise WireError(f"bad header {line!r}")
            response.headers.append((name.decode(), value.strip(b" \t").decode("latin-1")))
        if response.get("Content-Length") is not None and response.get("Transfer-Encoding") is not None:
            raise WireError(f"both framings: {response.headers}")
        return response

    def read_chunk(self):
        """The next chunk's data; b"" for the last one (its trailers are read too)."""
        size_line = self.read_line("chunk size")
        if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size_line):
            raise WireError(f"bad chunk size {size_line!r}")
        size = int(size_line, 16)
        if size == 0:
            while self.read_line("trailer"):
                pass
            return b""
        data = self.read_exactly(size, "chunk bytes")
        if self.read_exactly(2, "CRLF after a chunk") != b"\r\n":
            raise WireError("no CRLF after a chunk")
        return data

    def read_body(self, response, method="GET"):
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return response
        if response.get("Transfer-Encoding") is not None:
            if response.get("Transfer-Encoding") != "chunked":
                raise WireError(f"Transfer-Encoding {response.get('Transfer-Encoding')!r}")
            response.chunks = list(iter(self.read_chunk, b""))
            response.body = b"".join(response.chunks)
        elif response.get("Content-Length") is not None:
            response.body = self.read_exactly(int(response.get("Content-Length")), "body bytes")
        else:
            response.body = self.read_until_close()
        return response

    def read_response(self, method="GET"):
        """The next final response: interim ones (100) before it are skipped."""
        head = self.read_head()
        while head.status < 200:
            head = self.read_head()
        return self.read_body(head, method)

    def read_until_close(self):
        """All that still comes, up to the peer's FIN (a reset is a WireError)."""
        try:
            while self._fill("end of the connection"):
                pass
        except ConnectionResetError:
            raise WireError(f"reset after {bytes(self._buffer[-300:])!r}") from None
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def expect_close(self):
        """Asserts that the server closes the connection and sends nothing before."""
        try:
            rest = self.read_until_close()
        except WireError as error:
            if "reset after b''" not in str(error):
                raise
            return
        if rest:
            raise WireError(f"bytes before the close: {rest[:300]!r}")

    def has_buffered_bytes(self):
        """True when bytes are here already; never waits."""
        self.socket.setblocking(False)
        try:
            self._fill("nothing")
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(DEADLINE_S)
        return bool(self._buffer)


def request_bytes(method="GET", target="/", headers=(), body=None, version="1.1"):
    """A request as bytes; adds Host (unless 1.0) and Content-Length where the caller gave none."""
    lines = list(headers.items() if isinstance(headers, dict) else headers)
    given = {name.lower() for name, _ in lines}
    if version != "1.0" and "host" not in given:
        lines.insert(0, ("Host", "test"))
    if body is not None and not given & {"content-length", "transfer-encoding"}:
        lines.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/{version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
    return head.encode("latin-1") + (body or b"")


def chunked(*pieces):
    """A chunked body of these pieces."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
