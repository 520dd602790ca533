"""A Redis server that keeps nothing on disk."""

import socket

from components.daemon import Daemon


class Redis(Daemon):
    def command(self):
        return ["/usr/bin/redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

    def answers(self):
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
