"""Each CPython that is here: what a call costs there, the agent's start and its memory."""
import json
import pathlib
import subprocess

from bench import agent
from tests import pythons

PROJECT = pathlib.Path(__file__).resolve().parents[1]
TOLD = ("outside a transition", "decided thread")       # of what calls.py measures


def measure():
    """For `make bench`: (name, value, unit, goal)."""
    for minor in pythons.MINORS:
        python = pythons.find(minor)
        if python is None:
            print(f"no CPython 3.{minor} is here")
            continue
        done = subprocess.run([python, "-m", "bench.calls"], capture_output=True, text=True, cwd=PROJECT, check=True)
        rows = [row for row in json.loads(done.stdout) if any(words in row[0] for words in TOLD)]
        for name, value, unit, goal in [*rows, *agent.measure(python)]:
            yield f"3.{minor}: {name}", value, unit, goal
