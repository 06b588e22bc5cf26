"""How gunicorn serves the application. Nothing here is for klpfs' sake."""
import asyncio

bind = "127.0.0.1:0"            # a free port
worker_class = "aiohttp.GunicornWebWorker"
workers = 2
preload_app = True              # the master imports the application, so it has the modules as well as its workers
keepalive = 75                  # seconds that a connection may rest
control_socket_disable = True  # gunicorn >= 25 has one, at one place for all services of a user; older ones ignore this


def post_fork(server, worker):
    """A worker of aiohttp 3.9 closes the event loop that it finds; asyncio makes none for it from CPython 3.14 on."""
    asyncio.set_event_loop(asyncio.new_event_loop())


def when_ready(server):
    print(server.LISTENERS[0].sock.getsockname()[1], flush=True)
