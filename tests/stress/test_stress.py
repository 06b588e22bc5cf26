"""The stress for some seconds: nothing mixed; and with a rule of consistency switched off it fails, so it can."""
import os
import signal
import subprocess
import sys

import pytest

LIMIT = 220         # seconds; pytest ends a test at 240 (setup.cfg)
STRESS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stress.py")


def stress(*arguments):
    """(exit status, output). A transition that never ends is told by processor time (stress.STUCK), of which a process
    beside many gets little; where the stress itself does not end, its output ends with the stacks of its threads."""
    process = subprocess.Popen([sys.executable, "-X", "faulthandler", STRESS, *arguments], stdout=-1, stderr=-2)
    try:
        output = process.communicate(timeout=LIMIT)[0]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        output = process.communicate()[0]
    return process.returncode, output.decode()


@pytest.mark.parametrize("arguments", [(), ("--without-greenlets",), ("--without-greenlets", "--audit-hook")],
                         ids=["all", "without greenlets", "audit hook"])
def test_no_call_is_mixed(arguments):
    """Threads, generators, tasks (and greenlets) under transitions that come, turn and go: status 0, and it did
    something."""
    status, output = stress("3", *arguments)
    assert status == 0, output
    assert "violations=0 errors=0" in output and " calls=0 " not in output


@pytest.mark.parametrize("rule", ["nostack", "noobserve", "gens"])
def test_it_finds_what_a_missing_rule_lets_through(rule):
    """Status 1 without the walk, without looking, without looking for suspended objects; as soon as some are found."""
    status, output = stress("60", "--break", rule, "--without-greenlets", "--every", "100")
    assert status == 1 and "violations=0" not in output, output
