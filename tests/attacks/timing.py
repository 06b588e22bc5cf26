"""How long an operation took, compared with how busy the machine was meanwhile.

A loaded machine must not be taken for a hang, and a hang must not hide behind a loaded machine. `Control` is a process
that does the same small work over and over; how much longer than when calm it took, in the same seconds, is the
machine's slowness, and an operation's bound grows with it (`allowed`).
"""
import errno
import mmap
import os
import select
import signal
import struct
import time

BOUND = 2.0         # seconds: what takes longer on a calm machine hangs
PATIENCE = 2.0      # seconds that a write may wait for a silent process besides (docs/PROTOCOL.md#3)
MOST = 20.0         # the machine's slowness is never taken for more
PAUSE = 0.04        # seconds between two turns of the control's work
RECORD = struct.Struct("ddd")       # begun, seconds it took, processor seconds it took
ROOM = 4096         # records
DEAD = 6.0          # seconds that a process may take to end after SIGKILL


class Control:
    """The process that measures the machine. `slowness(begun)`: of the time since then, 1.0 when calm."""

    def __init__(self):
        self.shared = mmap.mmap(-1, 8 + ROOM * RECORD.size)
        self.pid = os.fork()
        if not self.pid:
            try:
                self.work(os.getppid())
            finally:
                os._exit(0)
        while self.count() < 10:
            time.sleep(PAUSE)

    def work(self, parent):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.closerange(3, 65536)
        number = 0
        while os.getppid() == parent:
            begun, used = time.monotonic(), time.thread_time()
            time.sleep(PAUSE)           # being woken late is slowness, too
            sum(range(40_000))
            took = time.monotonic() - begun - PAUSE
            at = 8 + number % ROOM * RECORD.size
            self.shared[at:at + RECORD.size] = RECORD.pack(begun, took, time.thread_time() - used)
            number += 1
            self.shared[:8] = struct.pack("Q", number)

    def count(self):
        return struct.unpack("Q", self.shared[:8])[0]

    def records(self):
        number = self.count()
        return [RECORD.unpack_from(self.shared, 8 + each % ROOM * RECORD.size)
                for each in range(max(0, number - ROOM + 1), number)]

    def slowness(self, begun):
        """How much slower than calm the machine was since `begun` (time.monotonic()); at least 1.0, at most MOST."""
        records = self.records()
        calm = max(min(used for _, _, used in records), 1e-4)
        took = [took for start, took, _ in records if start + took + PAUSE >= begun] or [records[-1][1]]
        return min(max(sum(took) / len(took) / calm, 1.0), MOST)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.shared.close()


class Operation:
    """An operation in a process of its own, so that a hang of it is seen and ended.

    `end()` returns its result: "ok VALUE", or the errno's name. It is "HANG" when a SIGKILL was needed, and
    "UNKILLABLE" when that did not end it. `took`: seconds.
    """

    def __init__(self, do, *arguments):
        self.read, write = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                signal.signal(signal.SIGUSR1, interrupted)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.write(write, b"!")           # a signal interrupts it from now on
                os.write(write, said(do, arguments).encode(errors="replace")[:4000])
            finally:
                os._exit(0)
        os.close(write)
        os.read(self.read, 1)
        self.begun = time.monotonic()

    def wait(self, seconds):
        """Whether it is over, `seconds` after its beginning at the latest."""
        left = self.begun + seconds - time.monotonic()
        return bool(select.select([self.read], [], [], max(left, 0))[0])

    def end(self):
        """Its result, now: it is killed when it is not over."""
        if self.wait(0):
            found = os.read(self.read, 4096).decode(errors="replace") or "died"
            os.waitpid(self.pid, 0)
        else:
            os.kill(self.pid, signal.SIGKILL)
            found = "HANG" if self.gone(DEAD) else "UNKILLABLE"
        os.close(self.read)
        self.took = time.monotonic() - self.begun
        return found

    def gone(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return True
            time.sleep(0.02)
        return False

    def kill(self, number):
        os.kill(self.pid, number)


def allowed(bound, slowness):
    """The seconds that an operation with this bound may take on a machine that is so slow. What works needs a quarter
    of its bound when calm (an insmod takes 0.1 s), and only that becomes longer."""
    return bound * (1 + (slowness - 1) / 4)


def interrupted(number, frame):
    signal.signal(number, signal.SIG_IGN)       # while it answers
    raise InterruptedError(errno.EINTR, "a signal")


def said(do, arguments):
    try:
        return f"ok {do(*arguments)!r}"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))
    except BaseException as e:
        return f"{type(e).__name__}: {e}"
