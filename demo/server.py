"""The application that is patched: aiohttp 3.9.1 with a static folder. Knows nothing of klpfs.

Its master and workers: gunicorn_conf.py. Each answer names the worker that gave it.
"""
import os

from aiohttp import web


async def hello(request):
    return web.Response(text="hello\n")


async def worker(request, response):
    response.headers["X-Worker"] = str(os.getpid())


def application(folder):
    app = web.Application()
    app.router.add_get("/hello", hello)
    app.router.add_static("/static", folder, follow_symlinks=True, show_index=True)
    app.on_response_prepare.append(worker)
    return app
