"""The server that is patched: aiohttp 3.9.1 with a static folder. Knows nothing of klpfs.

    server.py FOLDER        prints the port that it listens on
"""
import asyncio
import sys

from aiohttp import web


async def hello(request):
    return web.Response(text="hello\n")


async def main(folder):
    app = web.Application()
    app.router.add_get("/hello", hello)
    app.router.add_static("/static", folder, follow_symlinks=True, show_index=True)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
