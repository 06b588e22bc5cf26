"""A process that is described: it imports a release's modules, and OLD's takes the livepatch and lets it go, as a
service would. Nothing is asked in a copy of the process: a package's hooks would run when it forks.

    python subject.py FD    (the job is JSON on standard input)

Runs in the interpreter of the service, on the standard library and klpfs's own engine. Job: {"klpfs": the folder that
klpfs lies in, "tree": the folder that the release lies in, "home": that of whom it runs for, "path": more folders to
import from, "roots", "modules", "main": the one of these that is the service's main program, or null, "seeds": [[name,
text]] (seeds.py), "everywhere", "docs": docstrings count, "watch": what runs is told, "fix": a path or null, "seconds":
of processor time, "megabytes"}. What is found goes to FD, each part marshalled behind its length: ("loaded", graph),
("patched", graph), ("back", graph), each followed by ("state ...", as process_state.taken gives it), and last ("said",
{...}).
"""
from __future__ import annotations

import gc
import importlib
import json
import marshal
import os
import struct
import sys
import time
import types
import warnings
from typing import Any, Callable

_WARNING = 4            # the priority of a warning, as in syslog
_PENDING_S = 20.0       # seconds that a transition may be kept pending by what the package started


class Subject:
    """job: as above. fd: where to."""

    def __init__(self, job: dict[str, Any], fd: int) -> None:
        self.job, self.fd = job, fd
        self.said: dict[str, Any] = {"failed": {}, "refused": "", "stays": "", "unseeded": ""}
        self.kept: list[Any] = []
        self.ran: Any = None

    def write(self, what: str, value: Any) -> None:
        """One part of what is found."""
        data = marshal.dumps((what, value), 4)
        for part in (struct.pack("<Q", len(data)), data):
            view = memoryview(part)
            while view:
                view = view[os.write(self.fd, view):]
        if what in ("loaded", "patched", "back"):
            from klpfs.builder.verify import process_state
            self.write(f"state {what}", process_state.taken(self.job["tree"]))

    def run(self) -> None:
        """All of it. What klpfs needs is imported first, in each process alike: then the standard library's modules are
        in the same state."""
        from klpfs.builder.verify.describe import Description
        from klpfs.builder.verify.ran import Ran
        from klpfs.cpython.import_time import attributes
        from klpfs.cpython.load import loader
        from klpfs.cpython.target import PythonTarget
        from klpfs.engine.core import Engine
        from klpfs.engine.log import Log
        loader.prepare()
        self.ran = Ran(self.job["tree"], self.job["watch"])
        self.said["ran"] = self.ran.found
        log = Log(lambda: 0)
        target = PythonTarget(log)
        engine = Engine(target, log)
        ours = [self, self.job, self.said, self.ran, self.kept, log, target, engine, sys.modules[__name__]]

        def step(what: str, kept: list[Any], probe: Callable[[Any, type], dict[str, Any]] | None = None) -> None:
            gc.collect()
            self.write(what, Description(self.job["roots"], self.job["tree"], [*ours, kept], kept,
                                         self.job["everywhere"], probe, self.job["docs"], self.job["home"]).take())

        sys.path.insert(0, self.job["tree"])
        sys.path += [folder for folder in self.job["path"] if folder not in sys.path]
        for name in self.job["modules"]:
            self._import(name)
        main = sys.modules.get(self.job["main"] or "")
        if main is not None:
            sys.modules["__main__"] = main      # what the livepatch's Object(None) means here
        for name, text in self.job["seeds"]:
            self._seed(name, text)
        step("loaded", self.kept)
        if self.job["fix"]:
            self._with_the_livepatch(_Patch(engine, log, loader, self.job["fix"]), step,
                                     (attributes.FirstUse, attributes.Slot, attributes.Form))
        self.write("said", self.said)

    def _with_the_livepatch(self, patch: _Patch, step: Callable[..., None], stand_ins: tuple[type, ...]) -> None:
        """Describes what is there with the livepatch, and when it is taken out. What stand-ins give is asked last, with
        the livepatch in once more, for that changes objects. What is described with it is not kept alive: it would
        not go with it."""
        if not self._loaded(patch):
            return
        asked = _any_stands(stand_ins)
        if not asked:
            step("patched", [])
        try:
            patch.rmmod()
        except Exception as error:
            self.said["stays"] = patch.why(error)
        step("back", self.kept)
        if asked and (self.said["stays"] or self._loaded(patch)):
            step("patched", [], lambda obj, cls: given(stand_ins, obj, cls))

    def _loaded(self, patch: _Patch) -> bool:
        """Whether the livepatch goes in; if not, what is said is why. A statement of NEW's may raise whatever it
        likes."""
        try:
            patch.insmod()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.said["refused"] = patch.why(error)
            return False
        return True

    def _import(self, name: str) -> None:
        try:
            with self.ran:
                importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:          # whatever a package raises: the module is named
            self.said["failed"][name] = f"{type(error).__name__}: {str(error)[:200]}"

    def _seed(self, name: str, text: str) -> None:
        """Runs a seed as a module, which knows the package's modules; what it makes is compared as theirs is."""
        module = sys.modules[name] = types.ModuleType(name)
        module.__dict__.update({root: sys.modules[root] for root in self.job["roots"] if root in sys.modules})
        try:
            exec(compile(text, f"<{name}>", "exec", dont_inherit=True), module.__dict__)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            traceback = error.__traceback__
            assert traceback is not None
            traceback = traceback.tb_next or traceback
            self.said["unseeded"] = self.said["unseeded"] or (
                f"{name}:{traceback.tb_lineno}: {type(error).__name__}: {str(error)[:200]}")


def _any_stands(stand_ins: tuple[type, ...]) -> bool:
    """Whether a class has a stand-in of klpfs's for an attribute."""
    from klpfs.builder.verify import raw_parts
    return any(type(value) in stand_ins for cls in gc.get_objects() if raw_parts.is_class(cls)
               for value in raw_parts.class_dict(cls).values())


def given(stand_ins: tuple[type, ...], obj: Any, cls: type) -> dict[str, Any]:
    """{attribute: what klpfs's stand-ins on an object's class give for it}; an error as its text."""
    from klpfs.builder.verify import raw_parts
    found: dict[str, Any] = {}
    for base in raw_parts.mro(cls):
        for name, value in raw_parts.class_dict(base).items():
            if type(value) in stand_ins and name not in found:
                try:
                    found[name] = value.__get__(obj, cls)
                except BaseException as error:
                    found[name] = f"<raises {type(error).__name__}: {error}>"
    return found


class _Patch:
    """A livepatch in this process, without an agent."""

    def __init__(self, engine: Any, log: Any, loader: Any, path: str) -> None:
        self.engine, self.log, self.loader, self.path = engine, log, loader, path
        self.name = os.path.basename(path)[:-len(".py")]
        self.loaded: Any = None

    def why(self, error: BaseException) -> str:
        """The first of the log's gravest lines that say what went wrong; else the error."""
        lines = [record for record in self.log.records if record.priority <= _WARNING]
        gravest = min(lines, key=lambda record: record.priority, default=None)
        return gravest.text if gravest is not None else f"{type(error).__name__}: {error}"

    def insmod(self) -> None:
        with open(self.path, "rb") as file:
            source = file.read()
        self.loaded = self.loader.load(self.name, source, self.path, {}, log=self.log,
                                       enable_patch=lambda patch: self.engine.enable(patch, self.name))
        try:
            self.engine.enable(self.loaded.patch, self.name)
            self.engine.start()
            self._settle()
        except BaseException:
            self.loader.unload(self.loaded)
            raise

    def rmmod(self) -> None:
        self.engine.disable(self.loaded.patch)
        self._settle()
        self.loader.unload(self.loaded)

    def _settle(self) -> None:
        end = time.monotonic() + _PENDING_S
        while True:
            blockers = self.engine.look()
            if not blockers:
                self.engine.finish()
                return
            if time.monotonic() > end:
                raise TimeoutError(f"pending: {', '.join(str(each.name) for each in blockers[:3])}")
            time.sleep(0.02)


def _limit(job: dict[str, Any]) -> None:
    import resource
    for what, most in ((resource.RLIMIT_CPU, job["seconds"]), (resource.RLIMIT_AS, job["megabytes"] << 20),
                       (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """The process."""
    fd, job = int(sys.argv[1]), json.load(sys.stdin)
    os.set_inheritable(fd, False)       # who reads waits for all who have it
    warnings.simplefilter("ignore")
    sys.path[0] = job["klpfs"]          # was this file's folder
    sys.argv[:] = [""]                  # the package may keep it
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)   # a large number is described as any other
    _limit(job)
    Subject(job, fd).run()
    os._exit(0)                         # threads of the package may go on for ever


if __name__ == "__main__":
    main()
