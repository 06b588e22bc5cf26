"""Pools of processes and of threads, and who gives them work: a program that is its own load (counter.py).

    pool.py KIND PROCESSES      KIND: fork, spawn, forkserver (multiprocessing.Pool), processes, threads (concurrent.futures)
"""
import multiprocessing
import sys
import time
from concurrent import futures

from counter import Counter
from stacks import version

CLIENTS = 6
PAUSE = 0.002


def work(number):
    """What a worker does: a function, a generator in it."""
    lines = inner()
    time.sleep(0.001)
    lines.extend(steps())
    return "\n".join(lines).encode()


def inner():
    return [version() for _ in range(2)]


def steps():
    for _ in range(2):
        yield version()


def caller(kind, processes):
    """The pool's way to do work(1) and wait for it."""
    if kind in ("threads", "processes"):
        pool = {"threads": futures.ThreadPoolExecutor, "processes": futures.ProcessPoolExecutor}[kind](processes)
        return lambda: pool.submit(work, 1).result(20)
    pool = multiprocessing.get_context(kind).Pool(processes)
    return lambda: pool.map_async(work, [1]).get(20)[0]


if __name__ == "__main__":
    counter, call = Counter(), caller(sys.argv[1], int(sys.argv[2]))
    call()
    print("ready", flush=True)
    counter.serve(*[counter.one(call, PAUSE)] * CLIENTS)
