"""Whether all functions on one stack have one version: what a program of `programs.make` asks from inside.

`Watch.here` is called by the program's functions; it walks its caller's stack by itself, to where DESIGN says that a
stack ends, and notes the versions that it meets, told by the file names of `programs.make`.
"""
import asyncio
import re
import sys

STEPPED = 0x80 | 0x100      # co_flags of coroutines


class Watch:
    """calls: how many stacks were looked at; mixed: those with more than one version, as lists of 'version name'."""

    def __init__(self):
        self.calls, self.mixed = 0, []
        # where DESIGN lets a task's stack end
        runner = getattr(asyncio.runners, "Runner", None)
        self.loops = [asyncio.events.Handle._run.__code__, (runner.run if runner else asyncio.run).__code__]

    def here(self):
        """The version of the caller."""
        frame, above, found = sys._getframe(1), None, []
        while frame is not None:
            code = frame.f_code
            version = re.fullmatch(r"app(\d)\.py", code.co_filename)
            if version:
                found.append(version[1] + " " + code.co_name)
            if above is not None and above.co_flags & STEPPED and [each for each in self.loops if each is code]:
                break
            frame, above = frame.f_back, code
        self.calls += 1
        if len({each[0] for each in found}) > 1:
            self.mixed.append(found)
        return int(found[0][0])
