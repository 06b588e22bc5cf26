"""A file whose pages never come, on a FUSE mount of its own, and a process that lists a folder into them: it holds the
folder's lock, for getdents(2) copies what it has found while it has the lock. After ../shared/cases/security."""
import contextlib
import ctypes
import mmap
import os
import signal
import struct
import subprocess
import threading

INIT, LOOKUP, FORGET, GETATTR, OPEN, READ, OPENDIR, BATCH_FORGET, GETDENTS64 = 26, 1, 2, 3, 14, 15, 27, 42, 217
NOSUID, NODEV = 2, 4


def _serve(fd, asked):
    def attributes(ino, mode, size):
        return struct.pack("=QQQQQQIIIIIIIIII", ino, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
    while True:
        try:
            message = os.read(fd, 1 << 18)
        except OSError:                        # unmounted
            return
        _, op, unique, node = struct.unpack_from("=IIQQ", message)

        def reply(body=b"", error=0, unique=unique):
            os.write(fd, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)
        if op == INIT:
            reply(struct.pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 16, 12, 131072, 1, 0, 0, 0))
        elif op == LOOKUP:
            reply(struct.pack("=QQQQII", 2, 0, 10, 10, 0, 0) + attributes(2, 0o100644, 65536))
        elif op == GETATTR:
            reply(struct.pack("=QII", 10, 0, 0) + (attributes(1, 0o40755, 0) if node == 1
                                                   else attributes(2, 0o100644, 65536)))
        elif op in (OPEN, OPENDIR):
            reply(struct.pack("=QII", 1, 0, 0))
        elif op == READ:
            asked.set()                        # and never an answer
        elif op not in (FORGET, BATCH_FORGET):
            reply(error=38)


@contextlib.contextmanager
def held(folder, point):
    """Hold the lock of `folder` within; point: an empty folder to mount on."""
    libc, asked = ctypes.CDLL(None, use_errno=True), threading.Event()
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"slow", os.fsencode(point), b"fuse.slow", NOSUID | NODEV, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    threading.Thread(target=_serve, args=(fd, asked), daemon=True).start()
    pid = os.fork()
    if not pid:
        try:
            os.close(fd)
            pages = mmap.mmap(os.open(f"{point}/slow", os.O_RDONLY), 65536, mmap.MAP_PRIVATE,
                              mmap.PROT_READ | mmap.PROT_WRITE)
            place = (ctypes.c_char * 65536).from_buffer(pages)
            libc.syscall(GETDENTS64, os.open(folder, os.O_RDONLY | os.O_DIRECTORY), place, 65536)
        finally:
            os._exit(0)
    try:
        assert asked.wait(10)
        yield
    finally:
        os.kill(pid, signal.SIGKILL)           # not heard before its page comes, or fails
        subprocess.run(["umount", "-f", "-l", str(point)], check=True)
        os.close(fd)
        os.waitpid(pid, 0)
