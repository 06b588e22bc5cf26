"""The one kind of error: an errno, and the log line that was already written for it."""
import errno as _errno

_CODES = dict(_errno.errorcode)


class KlpError(OSError):
    """A failure with an errno, as every function of the kernel's livepatch returns one.

    errno: positive number. text: the log line that says what and where, None where the kernel logs nothing.
    func: the Func at fault, where one is (Target.begin and apply set it), else None.
    Nothing is half done when one is raised: each raiser has taken its own steps back.
    """

    def __init__(self, errno, text=None, func=None):
        OSError.__init__(self, errno, text)
        self.func = func

    def __str__(self):
        name = _CODES.get(self.errno, str(self.errno))
        return "%s: %s" % (name, self.strerror) if self.strerror else name
