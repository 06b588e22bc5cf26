"""A program whose main thread runs an event loop, and does the lines of its standard input there as program.py does
it: '= repr' of the value, or of what the value, a coroutine, gives.

Its work is what test_remote_tools.py patches: tasks that wait in ask(), a thread that calls spin() again and again.
"""
import asyncio
import os
import sys
import threading
import time
import traceback

gates, tasks, ended = {}, {}, threading.Event()


def answer():
    return "old"


async def ask(gate):
    await gate.wait()
    return answer()


def step():
    time.sleep(0.001)
    return answer()


def spin():
    for _ in range(5):
        step()


async def begin(name):
    """A task that waits for end(name)."""
    gates[name] = asyncio.Event()
    tasks[name] = asyncio.create_task(ask(gates[name]), name=name)
    await asyncio.sleep(0)


async def end(name):
    gates[name].set()
    return await tasks[name]


def start_spinner():
    def spinning():
        while not ended.is_set():
            spin()
    threading.Thread(target=spinning, name="spinner", daemon=True).start()


async def do(line):
    try:
        value = eval(line, globals())
        if asyncio.iscoroutine(value):
            value = await value
        said = f"= {value!r}"
    except Exception:
        said = "! " + traceback.format_exc().replace("\n", "\x01")
    print(said, flush=True)


async def main():
    over, pending = asyncio.Event(), b""

    def arrived():
        nonlocal pending
        data = os.read(0, 65536)
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            running.append(asyncio.create_task(do(line.decode()), name="line"))
        if not data:
            over.set()

    running = []
    asyncio.get_running_loop().add_reader(0, arrived)
    print("ready", flush=True)
    await over.wait()
    ended.set()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
