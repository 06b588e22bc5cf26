"""The folders of klpfs: the runtime folder, a service's folder in it, and the names in a service's folder.

    <runtime>/<service>/          0700, owned by the user that started the service; with a group 3770: its processes may
                                  run as other users of that group, who add sockets and can't touch other users' files
        journal                   record_text.py; obeyed only when it belongs to the folder's owner, or to root
        lock                      flock: its holder may write the journal
        keep                      when it exists, the journal outlives the service
        <sha256>                  content of a livepatch file or module, 64 hex digits
        <random>.sock             the socket of an agent
        <random>.life             a link that leads nowhere: which process that agent is (life.py)

<runtime> is $KLPFS_RUNTIME_DIR, else /run/klpfs for root, else $XDG_RUNTIME_DIR/klpfs, else /tmp/klpfs-UID. Root of a
user namespace in which /run is another's (`unshare -Urm`) counts as the user outside.
"""
from __future__ import annotations

from _stat import S_IMODE, S_ISDIR, S_ISLNK
from errno import EACCES, EINVAL
from posix import O_CLOEXEC, O_RDONLY, chmod, chown, close, getcwd, geteuid, lstat, mkdir, open, read, stat
from posix import environ as _environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

JOURNAL = "journal"
LOCK = "lock"
KEEP = "keep"
SUFFIX = ".sock"
MAX_CONTENT_BYTES = 32 << 20
MAX_ADDRESS_BYTES = 100     # of a socket's path: connect() and bind() surely take it (sun_path is 108)


def environment() -> dict[str, str]:
    """The environment of this process, as text, without the module os."""
    return {key.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
            for key, value in _environ.items()}


def runtime_dir(environ: Mapping[str, str] | None = None) -> str:
    """The runtime folder's path. environ: the environment, by default the process's own."""
    if environ is None:
        environ = environment()
    path = environ.get("KLPFS_RUNTIME_DIR")
    if path:
        return path
    user = _user()
    if user == 0:
        return "/run/klpfs"
    path = environ.get("XDG_RUNTIME_DIR")
    return path + "/klpfs" if path else f"/tmp/klpfs-{user}"


def _user() -> int:
    """The number of the user whose runtime folder this process uses: the effective one, or that of the user who is root
    of this user namespace only. Source: user_namespaces(7)."""
    user = geteuid()
    try:
        if user == 0 and stat("/run").st_uid != 0:
            fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC)
            try:
                inside, outside = read(fd, 4096).split()[:2]
            finally:
                close(fd)
            if int(inside) == 0:
                return int(outside)
    except (OSError, ValueError):           # no /run, no /proc: a container, whose root it is
        pass
    return user


def absolute(path: str) -> str:
    """`path`, good also when the program goes to another folder later."""
    return path if path[:1] == "/" else getcwd() + "/" + path


def group_number(group: str | int | None) -> int | None:
    """The number of a group given by name or number; None for None and "". OSError(EINVAL): no group has the name."""
    if group is None or group == "":
        return None
    if isinstance(group, int) or group.isdigit():
        return int(group)
    import grp
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise OSError(EINVAL, f"no such group: {group}") from None


def make_folder(path: str, group: int | None = None) -> str:
    """Make the folder `path` (and its parent) 0700 if need be, and return `path`.

    group: the number of a group that the folder is to have, with mode 3770, its parent searchable. OSError(EACCES) when
    the folder is not this user's, or root's, or when others can exchange what is in it: what lies in it is obeyed.
    EPERM: not a group of this user.
    """
    parent = path.rpartition("/")[0]
    if parent:
        check_way(parent)
        _make(parent)
    above = stat(parent or "/")
    if above.st_uid not in (0, geteuid()):
        raise OSError(EACCES, f"others can exchange what is in {parent}")
    check_way(path)
    _make(path)
    found = lstat(path)
    if found.st_uid not in (0, geteuid()) or not is_private(found.st_mode):
        raise OSError(EACCES, f"not a private folder of this user: {path}")
    if group is not None and found.st_uid == geteuid():
        if found.st_gid != group:
            chown(path, -1, group)
        if S_IMODE(found.st_mode) != SHARED:
            chmod(path, SHARED)
        if above.st_uid == geteuid() and not above.st_mode & 0o001:
            chmod(parent, S_IMODE(above.st_mode) | 0o011)
    return path


SHARED = 0o3770             # setgid: all that is made in it is the group's; sticky: each only removes what is its own


def _make(folder: str) -> None:
    try:
        mkdir(folder, 0o700)
        chmod(folder, 0o700)                  # whatever the umask is
    except FileExistsError:
        pass


def is_private(mode: int) -> bool:
    """Whether `mode` is of a folder, and such that nobody but its owner and root can exchange what is in it."""
    return S_ISDIR(mode) and not mode & 0o002 and (not mode & 0o020 or bool(mode & 0o1000))


def check_way(path: str) -> None:
    """Look at each folder on the way to the absolute path `path`. OSError(EACCES): strangers can exchange what is in
    one: all may write to it, or it has a link of another user's where all may make some."""
    words = path.split("/")[1:]
    for count in range(len(words)):
        folder = "/" + "/".join(words[:count])
        mode = stat(folder).st_mode
        if not mode & 0o002:
            continue
        try:
            there = lstat(folder.rstrip("/") + "/" + words[count])
            bad = S_ISLNK(there.st_mode) and there.st_uid not in (0, geteuid())
        except FileNotFoundError:             # it is to be made
            bad = False
        if bad or not mode & 0o1000:
            raise OSError(EACCES, f"others can exchange what is in {folder}")
