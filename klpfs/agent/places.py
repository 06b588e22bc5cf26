"""Where things lie: the runtime folder, a service's folder in it, and the names in that.

    <runtime>/<service>/          0700, owned by who started the service
        journal                   journal.py
        lock                      flock: whoever holds it may write the journal
        <sha256>                  content of a livepatch file or module, 64 hex digits
        <random>.sock             one for each agent

<runtime> is $KLPFS_RUNTIME_DIR, else /run/klpfs for root, else $XDG_RUNTIME_DIR/klpfs, else /tmp/klpfs-UID.
"""
from errno import EACCES, EINVAL, EEXIST
from posix import environ as _environ, geteuid, lstat, mkdir, open as _open, stat, O_CLOEXEC, O_DIRECTORY, O_RDONLY
from _stat import S_IMODE, S_ISDIR

JOURNAL = "journal"
LOCK = "lock"
SUFFIX = ".sock"
LONGEST = 100               # bytes of a socket's path that connect() and bind() surely take (sun_path is 108)


def runtime_dir(environ=None):
    """The runtime folder's path (str). `environ`: a mapping of str, default the process's own."""
    if environ is None:
        environ = {k.decode("utf-8", "surrogateescape"): v.decode("utf-8", "surrogateescape") for k, v in _environ.items()}
    path = environ.get("KLPFS_RUNTIME_DIR")
    if path:
        return path
    if geteuid() == 0:
        return "/run/klpfs"
    path = environ.get("XDG_RUNTIME_DIR")
    return path + "/klpfs" if path else "/tmp/klpfs-%d" % geteuid()


def check_service(name):
    """Return `name` when it can be a service's name, else raise OSError(EINVAL): no '/', control characters, leading
    dot, more than 255 bytes (DESIGN section 3)."""
    if type(name) is not str or not name or name[0] == "." or "/" in name or len(name.encode("utf-8", "surrogateescape")) > 255 \
            or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise OSError(EINVAL, "not a name for a service: %r" % (name,))
    return name


def make_folder(path):
    """Make the folder `path` (and its parent) 0700 if need be. OSError(EACCES) when it is not a folder of ours that others
    can't write to: what lies in it is obeyed."""
    parent = path.rpartition("/")[0]
    for each in (parent, path):
        if each:
            try:
                mkdir(each, 0o700)
            except OSError as e:
                if e.errno != EEXIST:
                    raise
    found = lstat(path)
    if not S_ISDIR(found.st_mode) or found.st_uid != geteuid() or S_IMODE(found.st_mode) & 0o002:
        raise OSError(EACCES, "not a private folder of this user: %s" % path)
    above = stat(parent or "/")
    if above.st_uid not in (0, geteuid()) or S_IMODE(above.st_mode) & 0o1002 == 0o002:
        raise OSError(EACCES, "others can exchange what is in %s" % parent)
    return path


def address(folder, name):
    """A path for bind() and connect() to the socket `name` in `folder`; and the descriptor to close afterwards, or -1.
    A path too long for a socket address goes by way of /proc/self/fd."""
    path = folder + "/" + name
    if len(path.encode("utf-8", "surrogateescape")) <= LONGEST:
        return path, -1
    fd = _open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    return "/proc/self/fd/%d/%s" % (fd, name), fd
