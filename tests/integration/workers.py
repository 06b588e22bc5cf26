"""Workers of a service, made in every way that Python has. Imported by the patched program, or run as `workers.py
FOLDER`.

A worker opens the fifos `in` and `out` of its folder and answers each line, an expression, with the repr of its value.
The first thing that it says is its process id and what its program saw in its first line.
"""
import contextlib
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


def fork_in_c():
    """C's own fork(), which calls no hook of Python's: the child's process id, 0 in the child.

    A child that is forked while another thread waits for the GIL can stand still for good when it lets go of the GIL, in
    any program: the condition variable has a waiter that is not there (glibc). So a child of such a moment is killed at
    once, and another one forked. The moment is told by where the threads wait behind the fork. All of it is in C, without
    a bytecode: the GIL is not let go of meanwhile, so a thread that waited for it then waits for it still.
    """
    import ctypes
    import functools
    import operator
    libc, data = ctypes.PyDLL(None), ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    for _ in range(1000):
        go_on, let_go_on = os.pipe()
        files = []
        for tid in os.listdir("/proc/self/task"):
            if int(tid) != os.getpid():
                with contextlib.suppress(FileNotFoundError):    # it has ended
                    files.append(os.open("/proc/self/task/%s/syscall" % tid, os.O_RDONLY))
        texts = [ctypes.create_string_buffer(200) for _ in files]
        steps = [functools.partial(libc.fork)]
        steps += [functools.partial(libc.pread, fd, text, 199, 0) for fd, text in zip(files, texts)]
        child = list(map(operator.methodcaller("__call__"), steps))[0]
        if not child:
            os.read(go_on, 1)
            return 0
        waits = [text.value.split() for text in texts]      # the number of the system call, its arguments; or "running"
        alone = all(len(wait) > 1 and not 0 <= int(wait[1], 16) - data < 1 << 20 for wait in waits)
        os.write(let_go_on, b"." * alone)
        for fd in [go_on, let_go_on, *files]:
            os.close(fd)
        if alone:
            return child
        os.kill(child, 9)
        os.waitpid(child, 0)
    raise TimeoutError("some thread waits for the GIL whenever this forks")


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
