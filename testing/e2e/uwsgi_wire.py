"""The uwsgi protocol byte by byte, as a web server speaks it.

    answer = ask(("127.0.0.1", 3031), packet(PATH_INFO="/a"))
"""

import socket
import struct

from wire import DEADLINE_S


def packet(modifier1=0, pairs=(), **variables):
    """A request's packet: a GET where the variables do not say otherwise. `pairs` come last, as bytes."""
    variables = {"REQUEST_METHOD": "GET", **variables}
    all_pairs = [(name.encode(), value.encode("latin-1")) for name, value in variables.items()] + list(pairs)
    body = b"".join(struct.pack("<H", len(text)) + text for pair in all_pairs for text in pair)
    return struct.pack("<BHB", modifier1, len(body), 0) + body


def connect(address):
    if isinstance(address, str):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE_S)
        client.connect(address)
        return client
    return socket.create_connection(address, DEADLINE_S)


def read_all(client):
    """Up to the end of the connection; a reset is one, too."""
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def ask(address, request):
    """All that the server answers, on a connection of its own."""
    with connect(address) as client:
        client.sendall(request)
        return read_all(client)
