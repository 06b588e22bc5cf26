"""An ASGI application; as wsgi_app.py."""
import asyncio

from stacks import version


async def view():
    lines = []
    for _ in range(3):
        lines.append(f"{version()}\n".encode())
        await asyncio.sleep(0)
    return b"".join(lines)


async def stream():
    for _ in range(4):
        yield f"{version()}\n".encode()
        await asyncio.sleep(0.002)


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/stream":
        async for line in stream():
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": await view()})
