"""Workers of a service, made in every way that Python has. Imported by the patched program, or run as `workers.py
FOLDER`.

A worker opens the fifos `in` and `out` of its folder and answers each line, an expression, with the repr of its value.
The first thing that it says is its process id and what its program saw in its first line.
"""
import os
import sys

import ware

FIRST = ware.price()
_kept = []


def serve(folder, first=None):
    with open(folder + "/in") as lines, open(folder + "/out", "w") as out:
        print([os.getpid(), first or ware.price()], file=out, flush=True)
        for line in lines:
            try:
                value = eval(line)
            except BaseException as e:
                value = "%s: %s" % (type(e).__name__, e)
            print(repr(value), file=out, flush=True)


def change_user(user, group):
    """Give up root for good, as servers do it in their workers."""
    os.setgroups([group])
    os.setgid(group)
    os.setuid(user)


def start(way, folder, python=sys.executable, user=None):
    """Start a worker that serves `folder`. user: (user, group) that a forked one becomes."""
    import multiprocessing
    import subprocess
    command = [python, os.path.abspath(__file__), folder]
    if way == "os.fork":
        if not os.fork():
            if user:
                change_user(*user)
            serve(folder)
            os._exit(0)
    elif way == "double fork":  # a daemon: its parent exits, it has a session of its own and no descriptors
        child = os.fork()
        if not child:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.chdir("/")
            os.umask(0)
            os.closerange(0, 1024)
            for fd in range(3):
                os.open(os.devnull, os.O_RDWR)
            serve(folder)
            os._exit(0)
        os.waitpid(child, 0)
    elif way == "subprocess":
        _kept.append(subprocess.Popen(command, close_fds=True))
    elif way == "subprocess with descriptors":
        _kept.append(subprocess.Popen(command, close_fds=False))
    elif way == "preexec_fn":
        _kept.append(subprocess.Popen(command, preexec_fn=os.setsid))
    elif way == "posix_spawn":
        os.posix_spawn(python, command, os.environ)
    elif way == "spawnv":
        os.spawnv(os.P_NOWAIT, python, command)
    elif way == "shell":                        # a program that is no Python in between
        _kept.append(subprocess.Popen(["/bin/sh", "-c", "%s %s %s; true" % tuple(command)]))
    elif way == "pool executor":
        import concurrent.futures
        pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        _kept.append(pool)
        pool.submit(serve, folder)
    else:
        process = multiprocessing.get_context(way.partition(" ")[2]).Process(target=serve, args=(folder,))
        process.start()
        _kept.append(process)


def reap():
    """Wait for all children that have ended: none is left a zombie."""
    for each in _kept:
        for end in "shutdown", "join", "wait":
            if hasattr(each, end):
                getattr(each, end)()
                break
    del _kept[:]
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    serve(sys.argv[1], FIRST)
