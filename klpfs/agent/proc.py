"""What /proc knows of this process: its name, command line and tasks."""
from posix import O_CLOEXEC, O_RDONLY, close, getpid, listdir, open as _open, read

from klpfs.agent.c_functions import modules


def slurp(path, most=1 << 16):
    """The bytes of a small file. OSError as open says."""
    fd = _open(path, O_RDONLY | O_CLOEXEC)
    try:
        parts = []
        while most > 0:
            part = read(fd, most)
            if not part:
                break
            parts.append(part)
            most -= len(part)
        return b"".join(parts)
    finally:
        close(fd)


def _text(path, default=b""):
    try:
        return slurp(path)
    except OSError:
        return default


def comm():
    """The process's name, as in /proc/<pid>/comm."""
    return _text("/proc/self/comm").decode("utf-8", "surrogateescape").rstrip("\n")


def cmdline():
    """Its command line, a list of str."""
    words = _text("/proc/self/cmdline").decode("utf-8", "surrogateescape").split("\0")
    return words[:-1]


def describe():
    """The 'process' section of an event (wire.py)."""
    return {"pid": getpid(), "comm": comm(), "cmdline": cmdline()}


def thread_names():
    """{native thread id: name} of threads that the program has named through threading; without importing it."""
    found = {}
    threading = modules.get("threading")
    for thread in list(getattr(threading, "_active", {}).values()):
        tid, name = getattr(thread, "_native_id", None), getattr(thread, "_name", None)
        if type(tid) is int and type(name) is str and name != "MainThread":
            found[tid] = name
    return found


def tasks(ours=()):
    """[(tid, comm)], the main thread first, then by number. A thread's comm is its Python name, if it has one, else the
    kernel's. `ours`: tids of klpfs's own threads, which are not the program's."""
    names, pid, out = thread_names(), getpid(), []
    try:
        tids = sorted(int(d) for d in listdir("/proc/self/task"))
    except OSError:
        tids = [pid]
    for tid in tids:
        if tid in ours:
            continue
        name = names.get(tid)
        if name is None:
            name = _text("/proc/self/task/%d/comm" % tid).decode("utf-8", "surrogateescape").rstrip("\n")
        out.append((tid, name))
    out.sort(key=lambda task: (task[0] != pid, task[0]))
    return out
