"""An exception at an instruction of klpfs's own in a load: refused with an errno, and all as before. A sample; all of
them: python -m tests.attacks.interrupts."""
import sys

import pytest

from tests.attacks.interrupts import KINDS, attack


@pytest.mark.slow
def test_whatever_instruction_of_a_load_raises_the_next_load_works():
    """No lock, descriptor, thread, module or patch is left, and the program forks."""
    assert attack(sys.executable, seed=7, count=60, kinds=",".join(KINDS), seconds=120) == 0
