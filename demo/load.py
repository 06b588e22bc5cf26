"""A steady stream of requests, over connections that stay open; counts what was served and what failed.

    load.py PORT [CONNECTIONS]      until it is killed; each line on standard input is answered with 'SERVED FAILED WORST_MS'
"""
import asyncio
import sys
import time

PATHS = {"/hello": b"hello\n", "/static/page.txt": b"a page\n", "/static/": None}  # what each must answer; None: anything
PAUSE = 0.005  # seconds that a connection rests between two requests


class Load:
    def __init__(self, port):
        self.port, self.served, self.failed, self.worst = port, 0, 0, 0.0

    async def one(self, reader, writer, path, body):
        """One request. Raises when it is not answered, and answered right."""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        got = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200 ") or body not in (None, got):
            raise ValueError(head)

    async def connection(self):
        reader = writer = None
        while True:
            for path, body in PATHS.items():
                begun = time.perf_counter()
                try:
                    if writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    await asyncio.wait_for(self.one(reader, writer, path, body), 10)
                    self.served += 1
                except Exception:
                    self.failed += 1
                    if writer is not None:
                        writer.close()
                    writer = None
                self.worst = max(self.worst, time.perf_counter() - begun)
                await asyncio.sleep(PAUSE)


async def main(port, connections):
    load = Load(port)
    tasks = [asyncio.ensure_future(load.connection()) for _ in range(connections)]
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(load.served, load.failed, f"{load.worst * 1000:.1f}", flush=True)
        load.worst = 0.0
    await asyncio.gather(*tasks)  # nobody asks any more: on, until it is killed


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8))
