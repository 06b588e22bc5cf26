"""An aiohttp application; as wsgi_app.py."""
import asyncio

from aiohttp import web
from stacks import version


async def view(request):
    lines = []
    for _ in range(3):
        lines.append(f"{version()}\n")
        await asyncio.sleep(0)
    return web.Response(text="".join(lines))


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(4):
        await response.write(f"{version()}\n".encode())
        await asyncio.sleep(0.002)
    return response


async def application():
    app = web.Application()
    app.router.add_get("/", view)
    app.router.add_get("/stream", stream)
    return app
