"""The answer to a write or a question that takes time: a Future whose cancel() means: the writer was interrupted."""
from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Callable

from klpfs.engine.error import errno_from


class Answer(Future[Any]):
    """Promises the result of a write or a question.

    `result()` is None for a write, data for a question; `exception()` is an OSError with the kernel's errno.
    `cancel()` says that the writer was interrupted: the answer still comes, by the usual callbacks: OSError(EINTR)
    once all is as before, or success when it was too late. So `cancelled()` is never true.
    """

    def __init__(self) -> None:
        super().__init__()
        self.interrupt: Callable[[], None] | None = None

    def cancel(self) -> bool:
        if self.done() or self.interrupt is None:
            return False
        self.interrupt()
        return True

    def succeed(self, data: object = None) -> None:
        """Answer with data, unless it has been answered."""
        if not self.done():
            self.interrupt = None
            self.set_result(data)

    def fail(self, errno: int, text: str = "") -> None:
        """Answer with OSError(errno, text), unless it has been answered. EINVAL: what is no errno (modules do that)."""
        if not self.done():
            self.interrupt = None
            self.set_exception(OSError(errno_from(errno), text))
