"""A name server, in threads of this process, that answers each question after a while: every name is 127.0.0.1."""

import socket
import struct
import threading

ADDRESS = "127.0.53.53"
_TYPE_A = 1
_STOP = b""


class SlowDns:
    """Listens on ADDRESS, port 53: resolv.conf cannot name another port. OSError where that needs privileges."""

    def __init__(self, delay_s):
        self._delay_s = delay_s
        self._socket = None
        self._thread = None

    def start(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((ADDRESS, 53))
        except OSError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def stop(self):
        self._socket.sendto(_STOP, (ADDRESS, 53))
        self._thread.join()
        self._socket.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _serve(self):
        while True:
            question, client = self._socket.recvfrom(512)
            if question == _STOP:
                return
            threading.Timer(self._delay_s, self._answer, (question, client)).start()

    def _answer(self, question, client):
        end = question.index(b"\0", 12) + 5  # header, name, type, class
        (kind,) = struct.unpack("!H", question[end - 4:end - 2])
        address = b"\xc0\x0c" + struct.pack("!HHIH", _TYPE_A, 1, 60, 4) + socket.inet_aton("127.0.0.1")
        answers = [address] if kind == _TYPE_A else []
        head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, 0)
        try:
            self._socket.sendto(head + question[12:end] + b"".join(answers), client)
        except OSError:  # stopped meanwhile
            pass
