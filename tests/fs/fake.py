"""A Manager with services made of views alone, steered by what is written to a service's insmod; `python fake.py MNT`
mounts it.

    add NAME [FUNCS]     a patch of vmlinux and two modules, FUNCS functions each      del NAME    it vanishes
    begin NAME, end NAME its transition                                                log TEXT    a line of the log
    who                  the log gets the caller's uid, gid, pid                       slow        never answers,
                                                                                                   until interrupted
    more N               N patches of one object with 10 functions                     die         the service goes
    block N              a thread with N frames is in the way; 0: none
"""
import errno
import os
import sys

from attrs import evolve

from klpfs.service.answer import Answer
from klpfs.service.log_ring import LogView
from klpfs.service.snapshots import ModuleView, ObjectView, ParamView, PatchView, ProcessView


class Blocked:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class FakeService:
    def __init__(self, loop, name="shop", manager=None):
        self.name, self.loop, self.manager = name, loop, manager
        self.patches, self.modules, self.processes = {}, {}, {}
        self.log, self.ftrace_enabled = LogView(size=8), True
        self.listeners, self.calls, self.answers = [], [], []
        self.tasks, self.blockers = [(100, "main"), (101, "worker")], []

    def on_change(self, callback):
        self.listeners.append(callback)

    def tell(self, kind, key=None):
        for callback in self.listeners:
            callback(kind, key)

    def add(self, name, funcs=5, enabled=True, transition=False, objects=("vmlinux", "mod1", "mod2"), replace=False):
        views = tuple(ObjectView(o, True, tuple((f"func_{i}", 1) for i in range(funcs))) for o in objects)
        self.patches[name] = PatchView(name, enabled, transition, replace, len(self.patches) + 1, views)
        self.tell("patch", name)

    def change(self, name, **fields):
        self.patches[name] = evolve(self.patches[name], **fields)
        self.tell("patch", name)

    def delete(self, name):
        del self.patches[name]
        self.tell("patch", name)

    def line(self, text, prio=6):
        self.log.add(1_000_000 + self.log.next_seq, prio, text)
        self.tell("log")

    def module(self, name, **fields):
        self.modules[name] = ModuleView(name, **fields)
        self.tell("module", name)

    def answer(self, data=None):
        made = Answer()
        made.succeed(data)
        return made

    def refuse(self, number):
        made = Answer()
        made.fail(number, os.strerror(number))
        return made

    def check(self, text, caller):
        if text == b"refuse":
            raise OSError(errno.EINVAL, "refused")
        return self.answer(b"answer to " + text)

    def insmod(self, text, caller):
        word, _, rest = text.decode().strip().partition(" ")
        if word == "add":
            name, _, funcs = rest.partition(" ")
            self.add(name, int(funcs or 5))
        elif word == "del":
            self.delete(rest)
        elif word in ("begin", "end"):
            self.change(rest, transition=word == "begin")
        elif word == "more":
            for i in range(int(rest)):
                self.add(f"more_{i:05}", 10, objects=("vmlinux",))
        elif word == "block":
            self.blockers = [Blocked(pid=42, kind="thread", task=101, name="worker",
                                     frames=["shop.py:12 serve"] * int(rest))] if rest != "0" else []
        elif word == "slow":
            made = Answer()
            made.interrupt = lambda: made.fail(errno.EINTR)
            self.answers.append(made)
            return made
        elif word == "who":
            self.line(f"{caller.uid},{caller.gid},{caller.pid}")
        elif word == "log":
            self.line(rest)
        elif word == "die":
            self.manager.remove(self.name)
        else:
            return self.refuse(errno.ENOENT)
        return self.answer()

    def rmmod(self, text, caller):
        name = text.decode().strip()
        if name not in self.modules:
            return self.refuse(errno.ENOENT)
        del self.modules[name]
        self.tell("module", name)
        return self.answer()

    def set_enabled(self, patch, value, caller):
        self.calls.append(("enabled", patch, value))
        if self.patches[patch].enabled == value:
            return self.refuse(errno.EINVAL)
        self.change(patch, enabled=value)
        return self.answer()

    def force(self, patch):
        self.calls.append(("force", patch))
        return self.answer() if self.patches[patch].transition else self.refuse(errno.EINVAL)

    def set_param(self, module, param, text):
        text = text[:-1] if text.endswith(b"\n") else text
        if not text.isdigit():
            return self.refuse(errno.EINVAL)
        old = self.modules[module]
        self.modules[module] = evolve(old, params={**old.params, param: evolve(old.params[param], text=text.decode())})
        self.tell("module", module)
        return self.answer()

    def kmsg(self, text):
        self.line(text.decode().rstrip("\n"), 4)
        return self.answer()

    def set_ftrace(self, value):
        if any(p.enabled for p in self.patches.values()):
            return self.refuse(errno.EBUSY)
        self.ftrace_enabled = value
        self.tell("flag", "ftrace_enabled")
        return self.answer()

    def ask(self, what, pid=None, tid=None):
        if what == "tasks":
            return self.answer(list(self.tasks))
        if what == "patch_state":
            return self.answer(-1) if tid is None or tid in dict(self.tasks) else self.refuse(errno.ESRCH)
        if what == "stack":
            return self.answer(["shop.py:12 serve", "shop.py:90 main"])
        return self.answer(list(self.blockers))


class FakeManager:
    def __init__(self, loop, folder="", log=None):
        self.loop, self.services, self.added, self.gone = loop, {}, [], []

    def on_added(self, callback):
        self.added.append(callback)

    def on_removed(self, callback):
        self.gone.append(callback)

    def put(self, name):
        service = self.services[name] = FakeService(self.loop, name, self)
        for callback in self.added:
            callback(service)
        return service

    def remove(self, name):
        service = self.services.pop(name)
        for callback in self.gone:
            callback(service)

    def start(self):
        service = self.put("shop")
        for name in ("lp1", "lp2"):
            service.add(name)
        service.module("m", size=16384, params={"x": ParamView("int", "7", 0o644), "secret": ParamView("int", "1", 0)})
        service.processes[4711] = ProcessView(4711, "shop", ("python", "shop.py"))
        service.tell("process", 4711)
        service.line("ready")

    def settle(self, seconds=2.0):
        pass

    def close(self):
        pass


def main(point, *options):
    from klpfs.fs import daemon, fuse, mount, notices  # not for the tests without a mount: needs more than they do
    for option in options:
        if option == "old_kernel":             # without NOTIFY_PRUNE, and few nodes are many
            notices.Notices._prune, notices.MANY = lambda self, numbers: False, 1
        elif option == "blind":                # to who has a folder open
            fuse.Session._listed_by = lambda self, header, more: None
        else:                                  # a way to mount that there is not
            setattr(mount, option, lambda point, options: (_ for _ in ()).throw(OSError(errno.ENOSYS, "not this way")))
    return daemon.serve(point, "", lambda: print("ready", flush=True), daemon.to_stderr, FakeManager)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except OSError as e:
        sys.exit(f"klpfs: {e.strerror}")
