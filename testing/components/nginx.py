"""nginx in front of a server that speaks the uwsgi protocol."""

import os
import socket

from components.daemon import Daemon

_PROGRAM = "/usr/sbin/nginx"
_PARAMS = "/etc/nginx/uwsgi_params"

_CONFIGURATION = """
daemon off;
pid {directory}/pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  uwsgi_temp_path {directory}/uwsgi;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  scgi_temp_path {directory}/scgi;
  client_max_body_size 0;
  keepalive_requests 1000000;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    include {params};
{locations}
  }}
}}
"""


class Nginx(Daemon):
    """`locations` are lines of the server's block, in which uwsgi_params is included already.

    Its files are its own, its workers run as the user that starts it, and its last words are in `log_path`.
    """

    def __init__(self, locations, prepare_process=None):
        super().__init__(prepare_process)
        self._locations = locations

    @property
    def address(self):
        return "127.0.0.1", self.port

    def prepare(self):
        self._configuration.write_text(_CONFIGURATION.format(
            directory=self.directory, port=self.port, params=_PARAMS, locations=self._locations))
        os.chmod(self._configuration, 0o644)

    def command(self):
        if not os.access(_PROGRAM, os.X_OK):
            raise RuntimeError("nginx is not installed: apt-get install nginx-light")
        return [_PROGRAM, "-c", self._configuration, "-p", self.directory, "-e", "stderr"]

    def answers(self):
        with socket.create_connection(self.address, 1):
            return True

    @property
    def _configuration(self):
        return self.directory / "nginx.conf"

