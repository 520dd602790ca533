"""Bodies of 1 GiB pass through in both directions while the server's memory stays where it was."""

import json
import threading
import zlib

from case import ServerCase

MIB = 1 << 20
TOTAL_MIB = 1024
GROWTH_BYTES_MAX = 32 * MIB  # socket and stream buffers, malloc's own: far from 1 GiB
BLOCK = bytes(range(256)) * (MIB // 256)


class MemoryCase(ServerCase):
    def grown_bytes(self, transfer):
        transfer(1)  # allocates what is allocated once
        before = self.server.rss_bytes()
        self.server.reset_peak_rss()
        transfer(TOTAL_MIB)
        return self.server.peak_rss_bytes() - before

    def expected_crc(self, mebibytes):
        crc = 0
        for _ in range(mebibytes):
            crc = zlib.crc32(BLOCK, crc)
        return crc


class Uploads(MemoryCase):
    app = "input_app"

    def test_upload_with_length(self):
        def upload(mebibytes):
            with self.server.connect() as connection:
                connection.send_request("POST", "/count", [("Content-Length", str(mebibytes * MIB))])
                for _ in range(mebibytes):
                    connection.send(BLOCK)
                self.assertEqual(json.loads(connection.read_response().body),
                                 [mebibytes * MIB, self.expected_crc(mebibytes)])
        self.assertLess(self.grown_bytes(upload), GROWTH_BYTES_MAX)

    def test_upload_chunked(self):
        def upload(mebibytes):
            chunk = b"%x\r\n%b\r\n" % (MIB, BLOCK)
            with self.server.connect() as connection:
                connection.send_request("POST", "/count", [("Transfer-Encoding", "chunked")])
                for _ in range(mebibytes):
                    connection.send(chunk)
                connection.send(b"0\r\n\r\n")
                self.assertEqual(json.loads(connection.read_response().body),
                                 [mebibytes * MIB, self.expected_crc(mebibytes)])
        self.assertLess(self.grown_bytes(upload), GROWTH_BYTES_MAX)

    def test_upload_that_nobody_reads(self):
        """The handler answers at once; whether the server then reads on or closes, it must not collect the body."""
        before = self.server.rss_bytes()
        self.server.reset_peak_rss()
        with self.server.connect() as connection:
            connection.send_request("POST", "/", [("Content-Length", str(TOTAL_MIB * MIB))])
            connection.socket.settimeout(2)
            try:
                for _ in range(TOTAL_MIB):
                    connection.send(BLOCK)
            except OSError:  # the server has closed or stopped reading: both are right
                pass
        self.assertLess(self.server.peak_rss_bytes() - before, GROWTH_BYTES_MAX)
        self.assert_alive()

    def test_echo_both_ways_at_once(self):
        mebibytes = 256

        def upload(connection):
            for _ in range(mebibytes):
                connection.send(BLOCK)

        with self.server.connect() as connection:
            before = self.server.rss_bytes()
            self.server.reset_peak_rss()
            connection.send_request("POST", "/echo", [("Content-Length", str(mebibytes * MIB))])
            sender = threading.Thread(target=upload, args=(connection,), daemon=True)
            sender.start()
            head, got = connection.read_head(), 0
            while chunk := connection.read_chunk():
                got += len(chunk)
            sender.join()
        self.assertEqual((head.status, got), (200, mebibytes * MIB))
        self.assertLess(self.server.peak_rss_bytes() - before, GROWTH_BYTES_MAX)


class Downloads(MemoryCase):
    app = "response_app"

    def test_download(self):
        def download(mebibytes):
            with self.server.connect() as connection:
                connection.send_request("GET", f"/large?{mebibytes}")
                self.assertEqual(connection.read_head().get("Content-Length"), str(mebibytes * MIB))
                crc = 0
                for _ in range(mebibytes):
                    crc = zlib.crc32(connection.read_exactly(MIB), crc)
                self.assertEqual(crc, self.expected_crc(mebibytes))
        self.assertLess(self.grown_bytes(download), GROWTH_BYTES_MAX)

    def test_a_large_response_that_nobody_reads(self):
        before = self.server.rss_bytes()
        self.server.reset_peak_rss()
        slow = [self.connect(receive_buffer_bytes=4096) for _ in range(10)]
        for connection in slow:
            connection.send_request("GET", f"/large?{TOTAL_MIB}")
            connection.read_head()
        for _ in range(100):
            self.assert_alive()
        self.assertLess(self.server.peak_rss_bytes() - before, GROWTH_BYTES_MAX)
