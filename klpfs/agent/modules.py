"""The modules that were loaded by insmod into this process: livepatches and ordinary ones, with parameters and users.

What loading means for Python is klpfs/cpython/load/loader.py's; here is the table, the states Loading, Live, Unloading,
and the reference counts as the kernel shows them.
"""
from errno import EEXIST, ENOENT

from klpfs.protocol.record_text import dump_fingerprints
from klpfs.engine.data import COMING, GOING, LIVE, Mod
from klpfs.engine.error import KlpError

PAGE = 4096


class Entry:
    """One loaded module. loaded: what loader.py made; patch: the Patch that it has enabled, or None; came: the engine was
    told that it is coming; inited: its init() ended well, so it gets an exit()."""

    __slots__ = ("name", "n", "sha256", "path", "loaded", "livepatch", "patch", "state", "size", "mod", "came", "inited")

    def __init__(self, name, n, sha256, path, size):
        self.name, self.n, self.sha256, self.path, self.size = name, n, sha256, path, size
        self.loaded = self.patch = None
        self.livepatch = self.came = self.inited = False
        self.state = "Loading"
        self.mod = Mod(name, COMING)        # as callbacks see it


class Modules:
    """host: the agent: .engine, .foreign(what, n, function, *args), .loader (loader.py's functions)."""

    __slots__ = ("host", "table")

    def __init__(self, host):
        self.host = host
        self.table = {}

    def __contains__(self, name):
        return name in self.table

    def all(self):
        """All entries, oldest first."""
        return list(self.table.values())

    def patch_of(self, name):
        """The Patch of that name that is in force or in transition here, or None."""
        for patch in self.host.engine.patches:
            if patch.name == name:
                return patch
        return None

    # -- life of a module; load, init and exit run foreign code

    def load(self, load, entry, data):
        """Make the module of `data` (bytes) and run its top level. KlpError: EEXIST, or what loader.py says."""
        name = load.name
        if name in self.table:
            raise KlpError(EEXIST, None)
        made = Entry(name, load.n, entry["sha256"], entry.get("path") or name + ".py", -(-len(data) // PAGE) * PAGE)
        load.module = made      # from here on a failure unloads it
        self.table[name] = made
        self.host.changed()
        made.loaded = self.host.foreign("loading '%s'" % name, load.n, self.host.load, name, data, made.path,
                                        dict(entry.get("params") or {}))
        made.livepatch = bool(made.loaded.livepatch)
        return made

    def init(self, made):
        """Its init(). KlpError as Worker.foreign says; a negative result is that errno."""
        if made.loaded.init is not None:
            result = self.host.foreign("init of '%s'" % made.name, made.n, made.loaded.init)
            if type(result) is int and result < 0:
                raise KlpError(-result, None)
        made.inited = True

    def live(self, made):
        made.state, made.mod.state = "Live", LIVE

    def going(self, made):
        made.state, made.mod.state = "Unloading", GOING

    def exit(self, made):
        """Its exit(), if init() ended well. What that raises is logged, and the module goes all the same."""
        if made.inited and made.loaded is not None and made.loaded.exit is not None:
            try:
                self.host.foreign("exit of '%s'" % made.name, made.n, made.loaded.exit)
            except KlpError:
                pass

    def unload(self, made):
        """Out of the table, and of the program."""
        if self.table.get(made.name) is made:
            del self.table[made.name]
        if made.loaded is not None:
            self.host.unload(made.loaded)

    # -- what readers see

    def users(self, name):
        """Names of the modules that use `name`."""
        return [e.name for e in self.table.values() if e.loaded is not None and name in e.loaded.depends]

    def refcnt(self, made):
        patch = made.patch
        held = patch is not None and (patch.enabled or patch in self.host.engine.patches or patch.forced)
        return len(self.users(made.name)) + int(bool(held))

    def describe(self):
        """The 'modules' section of an event (wire.py)."""
        return [{"name": e.name, "size": e.size, "refcnt": self.refcnt(e), "livepatch": e.livepatch, "state": e.state,
                 "holders": self.users(e.name), "params": self._params(e),
                 "forced": bool(e.patch is not None and e.patch.forced)} for e in self.all()]

    def _params(self, made):
        if made.loaded is None:
            return []
        return [self.host.show_param(made.loaded, name) for name in made.loaded.params]

    def describe_load(self, made):
        """The module part of a report's 'prepared'."""
        loaded, patch, prints = made.loaded, made.patch, []
        if patch is not None:
            for obj in patch.objects:
                for func in obj.funcs:
                    fp = self.host.fingerprint_of(func) if not func.nop else None
                    if fp:
                        prints.append([obj.name or "vmlinux", func.old_name, func.old_sympos or 1, fp])
        return {"replace": bool(patch is not None and patch.replace), "size": made.size,
                "uses": [name for name in loaded.depends if name in self.table],
                "fingerprints": dump_fingerprints(prints)}

    def set_param(self, name, param, text):
        """Set a parameter. KlpError: ENOENT no such module or parameter, EINVAL or EPERM as loader.py says."""
        made = self.table.get(name)
        if made is None or made.loaded is None or param not in made.loaded.params:
            raise KlpError(ENOENT, None)
        self.host.set_param(made.loaded, param, text)
