"""A load: how a module gets into this process, by insmod or as it joins, up to what init() calls: enable_patch().

Everything here runs in the agent's thread, in a step of the follower (follower.py), under its lock but for foreign
code.

A livepatch's init() returns from enable_patch() when its transition is started, as the kernel's insmod does. That is
decided by further records; so enable_patch() follows them itself, by steps within the follower's step that runs the
load:

    Follower.step -> run_load -> init() -> enable_patch -> _follow_until_decided -> Follower.step ...
"""
from __future__ import annotations

from errno import EBUSY, EINTR, EINVAL, EIO

from klpfs.engine.data import Patch
from klpfs.engine.error import KlpError, Orphan, errno_of, name_of, place_of, words_of
from klpfs.engine.log import ERR, WARNING
from klpfs.engine.plain import plain_text
from klpfs.protocol.phases import LOADING, PREPARED
from klpfs.protocol.record_text import parse_fingerprints
from klpfs.protocol.wire import MAX_MESSAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.agent.follower import Follower
    from klpfs.agent.modules import Module
    Record = dict[str, Any]
    Entry = dict[str, Any]                              # of a record's patches or modules, or its change
    Fingerprints = dict[tuple[str, str, int], set[str]] # (object, function, position) -> the codes' hashes


FINGERPRINT = 80    # bytes of a line of fingerprints, beside the names
REPORT = 2 << 20    # bytes of a report, beside the fingerprints
JOINED = 0          # the number of a load that is no operation's: an ordinary module that a joiner takes


class Op:
    """The transition that this process takes part in: n, its patch and the patch's name; turn, the last that was
    obeyed.

    Where it is, the engine's transition says (Follower.phase). error: why a prepared one was taken back, a KlpError for
    enable_patch to raise. look_again: forked since; `clean` counts when a look has said so in this process."""

    __slots__ = ("n", "name", "patch", "turn", "error", "look_again")

    def __init__(self, n: int, name: str, patch: Patch, turn: int = 1) -> None:
        self.n, self.name, self.patch, self.turn = n, name, patch, turn
        self.error: KlpError | None = None
        self.look_again = False

    def __repr__(self) -> str:
        return f"<Op {self.n} '{self.name}'>"


class Load:
    """A module being loaded: n, of its change or transition, or JOINED.

    phase: LOADING, or PREPARED when its init() is over while the change is undecided. module: its entry in the table.
    place: when a joiner applies a patch in force, the patch's place among those in force; else None. enabled:
    enable_patch() was called and did not fail. fingerprints: what the record has of its code, see accepted_code. error:
    why the load has failed. cut_off: the exception, no KlpError, that has cut enable_patch() off."""

    __slots__ = ("n", "name", "phase", "module", "place", "enabled", "fingerprints", "error", "cut_off")

    def __init__(self, n: int, name: str, place: int | None = None) -> None:
        self.n, self.name, self.place = n, name, place
        self.phase = LOADING
        self.module: Module | None = None
        self.enabled = False
        self.fingerprints: Fingerprints = {}
        self.error: OSError | None = None
        self.cut_off: BaseException | None = None

    def failed(self, error: BaseException, outbox: Any) -> None:
        """The load has failed by an exception that is no KlpError: no memory, an interrupt, a mistake of ours. One line
        in the log, once."""
        if self.error is None:
            place, words = place_of(error), words_of(error)
            text = f"loading '{self.name}' failed{place and ' at ' + place}: {name_of(error)}{words and ': ' + words}"
            self.error = KlpError(errno_of(error), text.split("\n")[0])
            outbox.say(text.split("\n")[0], ERR)

    @property
    def loaded(self) -> Module:
        """The module, from before its top level on."""
        assert self.module is not None      # Modules.load has set it; nothing that asks comes earlier
        return self.module

    def __repr__(self) -> str:
        return f"<Load {self.n} '{self.name}' {self.phase}>"


def _newest(follower: Follower) -> Record:
    """The newest record."""
    assert follower.goal is not None    # a load follows a record
    return follower.goal


def entry_of(record: Record, name: str) -> Entry:
    """Where a module's content comes from: its `modules` entry, and the patch's own fields."""
    found: Entry = {}
    for entries in (record["modules"], record["patches"]):
        for entry in entries:
            if entry["name"] == name:
                found.update(entry)
    return found


def load_numbers(record: Record, name: str) -> list[int]:
    """The number of the load of a patch in force or in transition: none or one."""
    return [patch["n"] for patch in record["patches"] if patch["name"] == name]


def accepted_code(follower: Follower, entry: Entry) -> Fingerprints:
    """The fingerprints that a patch's entry in the record has of the code it replaces. KlpError: they can't be had. The
    lock is let go for a moment."""
    found: Fingerprints = {}
    if entry.get("fingerprints"):
        data = follower.host.messages.content({"name": entry["name"] + ", fingerprints",
                                               "sha256": entry["fingerprints"]})
        try:
            rows = parse_fingerprints(data.decode("ascii"))
        except ValueError as error:
            raise KlpError(EIO, f"the fingerprints of '{entry['name']}': {error}") from None
        for obj, func, position, code in rows:
            found.setdefault((obj, func, position), set()).add(code)
    return found


def restrict_to_known_code(patch: Patch, known: Fingerprints | None) -> None:
    """Tell the Funcs of `patch` which code the service's processes had when it was loaded: other code (a package was
    upgraded meanwhile) was not looked at by anybody, and stays as it is (docs/DESIGN.md#4). known: as accepted_code
    gives it; {}: the record says nothing; None: it can't be had, so no code is accepted."""
    for obj in patch.objects if known != {} else ():
        for func in obj.funcs:
            place = obj.shown, func.old_name, func.old_sympos or 1
            func.accepted_fingerprints = known.get(place) if known is not None else {""}


def run_load(follower: Follower, load: Load, entry: Entry) -> bool:
    """Load a module to its end: prepared, in, or gone again with the reason told. Runs foreign code. Always True: a
    step."""
    follower.load = load
    follower.host.outbox.report()
    error = _load_and_init(follower, load, entry)
    if load.cut_off is not None:
        raise load.cut_off              # whatever init() has made of it: Follower.recover takes all back
    load.error = error
    end_load(follower, load)
    follower.host.outbox.changed()
    follower.host.outbox.report()
    return True


def end_load(follower: Follower, load: Load) -> None:
    """init() is over, or the load was cut off: the module is in, prepared, or gone. It goes on where an exception has
    cut it off."""
    error = _outcome_of_load(follower, load, load.error)
    if error is not None:
        _failed(follower, load, error)
    elif load.enabled or load.n == JOINED:
        follower.modules.mark_live(load.loaded)
        follower.load = None
    else:
        load.phase = PREPARED


def _load_and_init(follower: Follower, load: Load, entry: Entry) -> OSError | None:
    """Content, top level, init(). What they raised."""
    modules = follower.modules
    try:
        data = follower.host.messages.content(entry)
        load.fingerprints = accepted_code(follower, entry)
        load.module = modules.load(load, entry, data)
        if not load.module.livepatch:
            follower.engine.coming(load.name, True, load.module.mod)
            load.module.came = True
        follower.host.outbox.changed()
        modules.init(load.module)
    except OSError as error:
        return error
    return None


def _outcome_of_load(follower: Follower, load: Load, error: OSError | None) -> OSError | None:
    """Why the load has failed, when init() is over; None: it has not. Once its patch is started or applied, what init()
    says comes too late."""
    op, say = follower.op, follower.host.outbox.say
    started = load.enabled and op is not None and op.n == load.n       # it can't be prepared still
    if started or load.enabled and load.place is not None:
        if error is not None:
            done = "started" if started else "applied"
            say(f"init of '{load.name}' failed after its patch was {done}: {error}", WARNING)
        return None
    if load.enabled:
        return error or KlpError(EINTR, f"loading '{load.name}' was given up")
    if error is None and load.place is not None:
        return KlpError(EINVAL, f"'{load.name}' did not enable its patch")
    return error


def _failed(follower: Follower, load: Load, error: OSError) -> None:
    if load.module is not None:
        unload_module(follower, load.module, False)
    record, say = _newest(follower), follower.host.outbox.say
    transition = record["transition"]
    if load.n == JOINED or _is_in(load, record):
        follower.left_modules.add(entry_of(record, load.name).get("sha256"))
        say(f"'{load.name}' could not be loaded here: {error}", WARNING)
    elif load.place is not None or transition and transition["n"] == load.n:
        # of a disable the transition's number is another than the load's, and the latter says that it is over here
        follower.not_applied.update([load.n, *load_numbers(record, load.name)])
        say(f"'{load.name}' could not be applied here: {error}", WARNING)
    else:
        text = plain_text(error.strerror or words_of(error))
        follower.refused = {"n": load.n, "errno": errno_of(error), "text": text}
    follower.load = None


def _is_in(load: Load, record: Record) -> bool:
    """Whether the record lists the module that is being loaded: an ordinary module, decided while this process was
    silent. Its load goes on as in a process that joins."""
    return load.place is None and load.module is not None and any(
        not module["livepatch"] and module["name"] == load.name and module["sha256"] == load.module.sha256
        for module in record["modules"])


def given_up(follower: Follower, n: int) -> bool:
    """Whether the newest record does not know operation n any more, and n is still being loaded. Any thread."""
    record, load = follower.goal, follower.load
    if record is None or load is None or load.n != n:
        return False
    if load.place is not None:      # a joiner takes on what is in force
        return n in follower.not_applied or all(patch["n"] != n for patch in record["patches"])
    return not (knows(record, n) or _is_in(load, record))


def knows(record: Record, n: int) -> bool:
    """Whether operation n is the record's transition or change."""
    transition, change = record["transition"], record["change"]
    return bool(transition and transition["n"] == n or change and change["n"] == n)


def unload_module(follower: Follower, module: Module, exit: bool) -> None:
    """A module leaves: exit() if it was initialised, going, unload."""
    modules = follower.modules
    modules.going(module)
    if exit:
        follower.host.outbox.changed()
        modules.exit(module)
    if not module.livepatch and module.came:
        follower.engine.going(module.name)
    modules.unload(module)


# ---- what init() calls

def enable_patch(follower: Follower, patch: Patch) -> int:
    """klp_enable_patch() as a livepatch's init() calls it: returns 0 once the operation is started.

    KlpError: EINVAL outside of a load or in a module that is no livepatch, EBUSY while a transition is pending, EINTR
    when the load was given up, and as Engine.enable.
    """
    load = follower.load
    if load is None or load.phase != LOADING or load.module is None:
        raise KlpError(EINVAL, "enable_patch() outside of a module's init()")
    try:
        return _enable_patch(follower, load, patch)
    except (KlpError, Orphan):
        raise
    except BaseException as error:
        load.cut_off = error
        load.failed(error, follower.host.outbox)
        raise load.error or error from None


def _enable_patch(follower: Follower, load: Load, patch: Patch) -> int:
    host = follower.host
    if not load.loaded.livepatch:
        text = f"module {load.name} is not marked as a livepatch module"
        host.outbox.say("livepatch: " + text, ERR)
        raise KlpError(EINVAL, text)
    if not issubclass(type(patch), Patch):
        text = f"{load.name}: enable_patch() was given no Patch, but {plain_text(type(patch).__name__)}"
        host.outbox.say(text, ERR)
        raise KlpError(EINVAL, text)
    restrict_to_known_code(patch, load.fingerprints)
    if load.place is not None:
        follower.engine.join_apply(patch, load.name, load.place, follower.live)
        _enabled(follower, load, patch)
        return 0
    if load.enabled:
        raise KlpError(EBUSY, None)
    if follower.op is not None:
        follower.engine.refuse_beside_transition(patch, load.name)
    record = _newest(follower)
    transition = record["transition"]
    if transition and transition["n"] == load.n and bool(patch.replace) != bool(transition["replace"]) and (
            follower.engine.patches or load.n in load_numbers(record, load.name)):
        # It was started before anybody had loaded it. (A disable, whose number is another, replaces nothing, nor does
        # the patch where it is the only one here. Where it is not, it would have to go below those that came later.)
        kind = "replaces" if transition["replace"] else "does not replace"
        raise KlpError(EINVAL, f"'{load.name}' was started as one that {kind}")
    _check_size(follower, load, patch)
    follower.engine.enable(patch, load.name)
    follower.op = Op(load.n, load.name, patch)
    _enabled(follower, load, patch)
    host.outbox.report()
    _follow_until_decided(follower, follower.op)
    return 0


def _check_size(follower: Follower, load: Load, patch: Patch) -> None:
    """KlpError EINVAL: the fingerprints of the code that a patch replaces, of which a report tells all, would be more
    than a daemon takes in at once."""
    limit = min([connection.limit for connection in follower.host.server.connections], default=MAX_MESSAGE)
    try:
        size = sum([len(obj.shown) + len(func.old_name) + FINGERPRINT for obj in patch.objects for func in obj.funcs])
    except (AttributeError, TypeError):
        return                  # its fields are not what they should be: the engine says so
    if size > limit - REPORT:
        text = f"{load.name}: the fingerprints of its functions are more than the {limit >> 20} MB of a message"
        follower.host.outbox.say(text, ERR)
        raise KlpError(EINVAL, text)


def _enabled(follower: Follower, load: Load, patch: Patch) -> None:
    load.enabled = True
    load.loaded.patch = patch
    for obj in patch.objects:
        if obj.name is not None and not obj.loaded and follower.engine.target.imports_now(obj.name):
            follower.host.outbox.say(f"livepatch: module '{obj.name}' is being imported, it is patched by "
                                     f"'{load.name}' when its import ends", WARNING)
    follower.host.outbox.changed()


def _follow_until_decided(follower: Follower, op: Op) -> None:
    """Steps within a step: the follower's step that runs this load waits below, in run_load. Only `start` and `take
    back` of RULES and what comes before them can fit meanwhile, since a load is under way (the rule "a load under
    way"). KlpError: it was taken back."""
    while op.error is None and follower.phase() == PREPARED:
        if not follower.step():
            follower.mark_followed()
            if not _decide_alone(follower, op):
                follower.host.thread.wait()     # lets go of the lock; see AgentThread.wait
    if op.error is not None:
        raise op.error


def _decide_alone(follower: Follower, op: Op) -> bool:
    """The coordinator of the prepared operation is lost: the journal says whether it was started. True: there is
    news."""
    change = _newest(follower)["change"]
    if not (change and change["n"] == op.n and follower.host.messages.lost(change)):
        return False
    record = follower.host.joining.journal()
    if record is None:
        return False                # unreadable: never decide without looking
    if record["seq"] > _newest(follower)["seq"]:
        return follower.set_goal(record)
    follower.refused = {"n": op.n, "errno": EINTR, "text": "the coordinator was lost"}
    take_back(follower)
    return True


def take_back(follower: Follower) -> None:
    """The prepared operation is dropped; enable_patch() raises EINTR."""
    op, follower.op = follower.op, None
    assert op is not None           # prepared
    op.error = KlpError(EINTR, f"loading '{op.name}' was given up")
    follower.engine.cancel()
    follower.host.outbox.changed()
