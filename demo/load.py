"""A steady stream of requests, over connections that stay open for a while; counts what was served and what failed.

    load.py PORT [CONNECTIONS]      until it is killed

Each line on standard input is answered with 'SERVED FAILED WORST_MS PID:SERVED ...', by worker. A line with a number
first takes all connections away from the worker with that pid, as a load balancer drains a server that is to be
stopped: they ask the others from then on. So whatever fails later, failed for no such reason.
"""
import asyncio
import collections
import random
import sys
import time

# what each must answer; None: anything
PATHS = {"/hello": b"hello\n", "/static/page.txt": b"a page\n", "/static/": None}
PAUSE = 0.005   # seconds that a connection rests between two requests
REQUESTS = 20   # of one connection, on average; then it is made anew, so that workers that came later get their share


class Load:
    def __init__(self, port):
        self.port, self.served, self.failed, self.worst = port, 0, 0, 0.0
        self.by_worker = collections.Counter()
        self.drained = None             # the worker that is to get no more requests
        self.workers = {}               # {connection's task: the worker that it speaks with, None: not known yet}

    async def one(self, reader, writer, path, body):
        """One request; the pid of the worker that answered. Raises when it is not answered, and answered right."""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(b":", 1) for line in head.lower().split(b"\r\n") if b":" in line)
        got = await reader.readexactly(int(fields[b"content-length"]))
        if not head.startswith(b"HTTP/1.1 200 ") or body not in (None, got):
            raise ValueError(head)
        return int(fields[b"x-worker"])

    async def connection(self):
        me, writer, left = asyncio.current_task(), None, 0
        self.workers[me] = None
        while True:
            for path, body in PATHS.items():
                begun = time.perf_counter()
                try:
                    if writer is None:
                        self.workers[me] = None
                        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                        left = random.randint(1, 2 * REQUESTS)
                    self.workers[me] = await asyncio.wait_for(self.one(reader, writer, path, body), 10)
                    self.served += 1
                    self.by_worker[self.workers[me]] += 1
                    left -= 1
                    good = left > 0 or self.drained is not None
                except Exception:
                    self.failed += 1
                    good = False
                self.worst = max(self.worst, time.perf_counter() - begun)
                if writer is not None and (not good or self.workers[me] == self.drained):
                    writer.close()
                    writer = None
                await asyncio.sleep(PAUSE)

    async def drain(self, pid):
        """Return when no connection speaks with worker `pid`; it gets no new one as long as it lives."""
        self.drained = pid
        while not {None, pid}.isdisjoint(self.workers.values()):
            await asyncio.sleep(PAUSE)


async def main(port, connections):
    load = Load(port)
    tasks = [asyncio.ensure_future(load.connection()) for _ in range(connections)]
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while True:
        line = await lines.readline()
        if not line:
            break
        if line.strip():
            await asyncio.wait_for(load.drain(int(line)), 60)
        else:
            load.drained = None
        print(load.served, load.failed, f"{load.worst * 1000:.1f}",
              *(f"{pid}:{n}" for pid, n in sorted(load.by_worker.items())), flush=True)
        load.worst = 0.0
    await asyncio.gather(*tasks)  # nobody asks any more: on, until it is killed


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8))
