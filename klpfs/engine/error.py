"""KlpError, the only kind of error: an errno, and the log line that was already written for it; and what any exception
becomes at klpfs's border: an errno that a system call can return, and plain words."""
from __future__ import annotations

import errno as _errno

from klpfs.engine.plain import plain_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

    from klpfs.engine.data import Func

OURS = __file__.rpartition("/")[0].rpartition("/")[0] + "/"      # the folder of klpfs itself
_CODES = dict(_errno.errorcode)
MAX_ERRNO = 511         # the largest that a FUSE file system may answer; with a larger one its writer is never answered
_OS_ERRNO: Any = OSError.errno      # the descriptor: a subclass may have an `errno` of its own making


class Orphan(BaseException):
    """Ends a thread that was the agent's in the parent of this process. Nobody undoes anything for it: the child's own
    threads go on with what the engine's marks say."""


class KlpError(OSError):
    """A failure with an errno, as every function of the kernel's livepatch returns one.

    errno: a number from 1 to 511, which others become EINVAL. text: the log line that says what and where, None where
    the kernel logs nothing; what is no text is shown as text. func: the Func at fault (Target.begin and apply set it),
    or None.
    Nothing is half done when it is raised: each raiser has taken its own steps back.

    >>> raise KlpError(22, "symbol 'f' not found in symbol table")
    Traceback (most recent call last):
    klpfs.engine.error.KlpError: EINVAL: symbol 'f' not found in symbol table
    """

    errno: int

    def __init__(self, errno: int, text: str | None = None, func: Func | None = None) -> None:
        OSError.__init__(self, errno_from(errno), None if text is None else plain_text(text))
        self.func = func

    def __str__(self) -> str:
        name = _CODES.get(self.errno, str(self.errno))
        return f"{name}: {self.strerror}" if self.strerror else name


def errno_from(value: object, otherwise: int = _errno.EINVAL) -> int:
    """The errno that is answered with where somebody says that `value` is one: `value` itself if the kernel takes it,
    1 to 511, else `otherwise`. 0 is no errno: where it means success, callers ask before.

    >>> errno_from(16), errno_from(600), errno_from(-5), errno_from("x"), errno_from(None, 5)
    (16, 22, 22, 22, 5)
    """
    return value if type(value) is int and 0 < value <= MAX_ERRNO else otherwise


def errno_of(error: BaseException) -> int:
    """The errno that an exception is answered with: an OSError's own, ENOMEM for a MemoryError, else EINVAL. (Also for
    a KeyboardInterrupt: a writer in Python takes EINTR for a signal of its own and writes again, for ever.)

    >>> errno_of(OSError(17, "there")), errno_of(OSError(600, "none")), errno_of(MemoryError()), errno_of(ValueError())
    (17, 22, 12, 22)
    """
    if isinstance(error, OSError):
        return errno_from(_OS_ERRNO.__get__(error))
    return _errno.ENOMEM if isinstance(error, MemoryError) else _errno.EINVAL


def words_of(error: BaseException) -> str:
    """The words of an exception, which are foreign code's to make: plain, of bounded length."""
    try:
        return plain_text(str(error))
    except Exception:
        return "(its text can't be had)"


def name_of(error: BaseException) -> str:
    """The name of an exception's type, whatever its metaclass says."""
    return plain_text(_NAME.__get__(type(error)))


_NAME, _MODULE = type.__dict__["__name__"], type.__dict__["__module__"]


def code_of(frame: FrameType) -> CodeType | None:
    """A frame's code; None where a hook of the program's (sys.addaudithook) forbids to look at it. Whoever takes back
    what an exception has cut off asks, so this must not fail."""
    try:
        return frame.f_code
    except Exception:
        return None


def _path_of(frame: FrameType, code: CodeType | None) -> str:
    """The file name of a frame's code, or of its module."""
    return plain_text(code.co_filename if code is not None else dict.get(frame.f_globals, "__file__", "?"))


def is_ours(error: BaseException) -> bool:
    """Whether code of klpfs's own has raised an exception: it has logged it, too, if it is a KlpError."""
    traceback, path = error.__traceback__, ""
    while traceback is not None:
        frame = traceback.tb_frame
        path, traceback = _path_of(frame, code_of(frame)), traceback.tb_next
    return path.startswith(OURS)


def is_own_mistake(error: BaseException) -> bool:
    """Whether klpfs's own code, run in a program's thread, has raised an exception, so that the program's code must not
    see it. Not where a signal handler has, or another thread has thrown it in: that of a class of the program's."""
    return isinstance(error, Exception) and is_ours(error) and _package_of(error) in ("builtins", "klpfs")


def is_the_programs(error: BaseException) -> bool:
    """Whether an exception that came in the middle of klpfs's code, in a program's thread, is the program's: raised by
    a signal handler, or thrown in by another thread. Not a mistake of klpfs's own, nor what ends its own threads
    (Orphan)."""
    return not is_own_mistake(error) and _package_of(error) != "klpfs"


def _package_of(error: BaseException) -> str:
    return plain_text(_MODULE.__get__(type(error))).partition(".")[0]


def place_of(error: BaseException, wanted: Callable[[str], bool] | None = None) -> str:
    """'file:line' of the innermost frame in an exception's traceback; '' if it has none. wanted(file name): frames in
    other files do not count. An instruction without a line of its own counts to its function's first line."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        code = code_of(traceback.tb_frame)
        path = _path_of(traceback.tb_frame, code)
        if wanted is None or wanted(path):
            place = f"{path}:{traceback.tb_lineno or (code.co_firstlineno if code is not None else '?')}"
        traceback = traceback.tb_next
    return place


def mistake_of(error: BaseException) -> str:
    """The words for an exception that is a mistake of ours, and where it was made: "KeyError: 'a' (a.py:3)"."""
    return f"{type(error).__name__}: {error} ({place_of(error) or '?'})"


def first_line_of(error: BaseException) -> str:
    """The first line of an exception's words."""
    return words_of(error).split("\n")[0]
