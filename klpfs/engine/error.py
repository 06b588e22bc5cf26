"""KlpError, the only kind of error: an errno, and the log line that was already written for it."""
from __future__ import annotations

import errno as _errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from klpfs.engine.data import Func

_CODES = dict(_errno.errorcode)


class KlpError(OSError):
    """A failure with an errno, as every function of the kernel's livepatch returns one.

    errno: positive number. text: the log line that says what and where, None where the kernel logs nothing.
    func: the Func at fault (Target.begin and apply set it), or None.
    Nothing is half done when it is raised: each raiser has taken its own steps back.

    >>> raise KlpError(22, "symbol 'f' not found in symbol table")
    Traceback (most recent call last):
    klpfs.engine.error.KlpError: EINVAL: symbol 'f' not found in symbol table
    """

    errno: int

    def __init__(self, errno: int, text: str | None = None, func: Func | None = None) -> None:
        OSError.__init__(self, errno, text)
        self.func = func

    def __str__(self) -> str:
        name = _CODES.get(self.errno, str(self.errno))
        return f"{name}: {self.strerror}" if self.strerror else name


def place_of(error: BaseException, wanted: Callable[[str], bool] | None = None) -> str:
    """'file:line' of the innermost frame in an exception's traceback; '' if it has none. wanted(file name): frames in
    other files do not count."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        path = traceback.tb_frame.f_code.co_filename
        if wanted is None or wanted(path):
            place = f"{path}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def first_line_of(error: BaseException) -> str:
    """The first line of an exception's text, which is foreign code's to make."""
    try:
        return str(error).split("\n")[0]
    except Exception:
        return "(its text can't be had)"
