"""The scenarios that a real Linux 6.1 answered, on a real mount: every step as the kernel did it; those in which
processes matter by a service of three as well (`make kernel PROCESSES=3`: all of them).
"""
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
SCENARIOS = ("lifecycle", "writes", "reads", "namespace_ops", "stacking", "replace", "stalled", "coming_going")

OF_MANY = ("lifecycle", "stacking", "replace", "stalled", "coming_going")


@pytest.mark.fuse
@pytest.mark.parametrize("scenario, processes", [(s, 1) for s in SCENARIOS] + [(s, 3) for s in OF_MANY])
def test_each_step_is_as_on_the_kernel(tmp_path, scenario, processes):
    run = tmp_path / "run.jsonl"
    done = subprocess.run([sys.executable, str(HERE / "scenarios.py"), str(HERE / "world.py"), scenario],
                          stdout=run.open("w"), stderr=subprocess.PIPE, text=True, timeout=120,
                          env={**os.environ, "PROCESSES": str(processes)})
    assert (done.returncode, done.stderr) == (0, "")
    compared = subprocess.run([sys.executable, str(HERE / "compare.py"), str(run)], capture_output=True, text=True)
    own = [line for line in compared.stdout.splitlines() if ": not run" not in line][:-1]
    good, _, total = own[-1].rpartition(": ")[2].partition(" of ")
    assert good == total and int(total) > 0, "\n".join(own)


def test_every_recorded_scenario_is_run():
    import json

    assert {json.loads(line)["scenario"] for line in open(HERE / "trace-linux-6.1.jsonl")} == set(SCENARIOS)
