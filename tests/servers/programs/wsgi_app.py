"""A WSGI application. Each line of an answer is the version that made it, so all lines of one must be alike."""
import time

from stacks import version


def view():
    return [f"{version()}\n".encode() for _ in range(3)]


def stream():
    for _ in range(4):
        yield f"{version()}\n".encode()
        time.sleep(0.002)


def application(environ, start_response):
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()
    body = view()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(sum(map(len, body))))])
    return body
