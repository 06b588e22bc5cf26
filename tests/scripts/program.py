"""The program that the scripts patch.

It prints its port; each connection gets one line: what its functions return now.
"""
import socket
import sys


def greeting():
    return "hello"


def farewell():
    return "good bye"


def name_show():
    return "first"


first = name_show


def name_show():
    return "second"


def answers():
    module = sys.modules.get("target_mod")
    return [greeting(), farewell(), module.answer() if module else "-", first(), name_show()]


def serve(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(("|".join(answers()) + "\n").encode())


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
serve(listener)
