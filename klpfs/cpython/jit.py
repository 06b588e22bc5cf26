"""CPython's JIT (3.14 and later, PYTHON_JIT), under which function objects can't be switched.

It compiles a hot loop with the constants of the code that the function has by then, not of the code that runs: a
function that was switched while it ran crashes the process; on 3.15 code compiled before goes on with the old function
for ever (docs/FACTS-python.md#jit). Off unless PYTHON_JIT asks for it, or the build has it on by itself.
"""
from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "PYTHON_JIT"
WHY = "CPython's JIT crashes when the code of a running function is exchanged"
_jit: Any = getattr(sys, "_jit", None)


def asked_for(value: str | bytes | None) -> bool:
    """Whether a value of PYTHON_JIT turns the JIT on where there is one."""
    if isinstance(value, bytes):            # compared with a str it would warn under -b
        return value[:1] not in (b"", b"0")
    return bool(value) and value[:1] != "0"     # type: ignore[index]


def is_on() -> bool:
    """Whether it is on in this process. It is turned on after the site module's import, for good: ask will_be_on()
    before."""
    return _jit is not None and bool(_jit.is_enabled())


def will_be_on() -> bool:
    """Whether it is on, or will be when the program begins. Not foreseen: a build that has it on by itself, where
    PYTHON_JIT is not set."""
    return is_on() or (_jit is not None and bool(_jit.is_available()) and not sys.flags.ignore_environment
                       and asked_for(posix.environ.get(VARIABLE.encode())))
