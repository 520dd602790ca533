"""What a worker's master gives it, seen by the application."""

import os
import subprocess

from routes import Routes, plain

application = Routes()


@application.at("/")
def root(environ, start_response):
    return plain(start_response, b"here")


@application.at("/environment")
def environment(environ, start_response):
    return plain(start_response, os.environ.get(environ["QUERY_STRING"], "").encode())


@application.at("/descriptors-of-a-child")
def descriptors_of_a_child(environ, start_response):
    """What a program has open that was started without closing anything. (3 is how it looks.)"""
    done = subprocess.run(["/bin/ls", "/proc/self/fd"], close_fds=False, stdout=subprocess.PIPE, check=True)
    return plain(start_response, b" ".join(done.stdout.split()))


@application.at("/read-shadow")
def read_shadow(environ, start_response):
    try:
        with open("/etc/shadow"):
            return plain(start_response, b"read")
    except OSError as error:
        return plain(start_response, type(error).__name__.encode())
