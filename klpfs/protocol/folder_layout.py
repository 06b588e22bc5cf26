"""Where things lie: the runtime folder, a service's folder in it, and the names in that.

    <runtime>/<service>/          0700, owned by who started the service; with a group 3770: its processes may run as other
                                  users of that group, who add sockets of their own and can't touch what is another's
        journal                   journal.py; obeyed only when it belongs to the folder's owner, or to root
        lock                      flock: whoever holds it may write the journal
        keep                      is there: the journal outlives the service
        <sha256>                  content of a livepatch file or module, 64 hex digits
        <random>.sock             one for each agent

<runtime> is $KLPFS_RUNTIME_DIR, else /run/klpfs for root, else $XDG_RUNTIME_DIR/klpfs, else /tmp/klpfs-UID.
"""
from errno import EACCES, EINVAL, EEXIST
from posix import chmod, chown, environ as _environ, getcwd, geteuid, lstat, mkdir, open as _open, stat, O_CLOEXEC, O_DIRECTORY, O_RDONLY
from _stat import S_IMODE, S_ISDIR

JOURNAL = "journal"
LOCK = "lock"
KEEP = "keep"
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


def absolute(path):
    """`path`, wherever the program goes later."""
    return path if path[:1] == "/" else getcwd() + "/" + path


def group_number(group):
    """The number of a group given by name or number. OSError(EINVAL): there is none."""
    if group in (None, ""):
        return None
    if type(group) is int or group.isdigit():
        return int(group)
    import grp
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(EINVAL, "no such group: %s" % group) from None


def make_folder(path, group=None):
    """Make the folder `path` (and its parent) 0700 if need be; with a group (its number) 3770 and that group's, its parent
    searchable. OSError(EACCES) when it is not a folder of ours, or of root, in which others can't exchange anything: what
    lies in it is obeyed. EPERM: not a group of this user."""
    parent = path.rpartition("/")[0]
    for each in (parent, path):
        if each:
            try:
                mkdir(each, 0o700)
                chmod(each, 0o700)          # whatever the umask is
            except OSError as e:
                if e.errno != EEXIST:
                    raise
    found = lstat(path)
    if not S_ISDIR(found.st_mode) or found.st_uid not in (0, geteuid()) or not _private(found.st_mode):
        raise OSError(EACCES, "not a private folder of this user: %s" % path)
    above = stat(parent or "/")
    if above.st_uid not in (0, geteuid()) or S_IMODE(above.st_mode) & 0o1002 == 0o002:
        raise OSError(EACCES, "others can exchange what is in %s" % parent)
    if group is not None and found.st_uid == geteuid():
        if found.st_gid != group:
            chown(path, -1, group)
        if S_IMODE(found.st_mode) != SHARED:
            chmod(path, SHARED)
        if above.st_uid == geteuid() and not above.st_mode & 0o001:
            chmod(parent, S_IMODE(above.st_mode) | 0o011)
    return path


SHARED = 0o3770             # setgid: all that is made in it is the group's; sticky: each only removes what is its own


def _private(mode):
    return not mode & 0o002 and (not mode & 0o020 or mode & 0o1000)


def file_mode(folder):
    """The mode of journal and contents in `folder`: for its owner, and to be read by its group if it has one."""
    return 0o640 if stat(folder).st_mode & 0o040 else 0o600


def address(folder, name):
    """A path for bind() and connect() to the socket `name` in `folder`; and the descriptor to close afterwards, or -1.
    A path too long for a socket address goes by way of /proc/self/fd."""
    path = folder + "/" + name
    if len(path.encode("utf-8", "surrogateescape")) <= LONGEST:
        return path, -1
    fd = _open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    return "/proc/self/fd/%d/%s" % (fd, name), fd
