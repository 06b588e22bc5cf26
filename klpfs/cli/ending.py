"""The end of a command by a signal: SIGTERM and SIGHUP end it as Ctrl-C does, so that what it has made on the way goes.

Only for commands that make something: for the others the signals' own way, which nothing can fail in, is good.
"""
from __future__ import annotations

import contextlib
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal has ended the command; `number`: which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def cleaned_up() -> Iterator[None]:
    """SIGTERM and SIGHUP within raise Ended. What the caller ignores (nohup) stays ignored.

    The second signal does nothing, so that the cleaning up for the first is not ended half way: a closed terminal and a
    stopped unit send both.
    """
    def end(number: int, frame: object) -> None:
        for other in replaced:
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    replaced = [number for number in ENDINGS if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in replaced:
            signal.signal(number, end)
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)
