"""Decisions: the next record of the journal from the present record, and what a report says about a record.

Pure functions (docs/PROTOCOL.md#2 and #3). A record is never altered: each function makes a new record,
`seq` one higher.
"""
from __future__ import annotations

import errno
import itertools
from collections.abc import Callable
from typing import Any, Optional

from klpfs.engine.bounds import MAX_ENTRIES
from klpfs.protocol import record_text as text
from klpfs.protocol.phases import FINISH, LOADING, PREPARED, START, STARTED

Record = dict[str, Any]
Report = Optional[dict[str, Any]]
Params = dict[str, Optional[str]]          # None: without `=value`


def none() -> Record:
    """A record for the time before the journal was read: its seq is lower than every journal's."""
    return text.idle(-1)


def following(record: Record, **changes: Any) -> Record:
    """`record` with `changes`, and the next seq."""
    return {**record, **changes, "seq": record["seq"] + 1}


def find(entries: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The entry of this name."""
    for entry in entries:
        if entry["name"] == name:
            return entry
    return None


def used(record: Record, name: str) -> list[str]:
    """The modules that use the module `name`."""
    return [m["name"] for m in record["modules"] if name in m["uses"]]


# ---- writes that users ask for; each raises OSError with the kernel's errno

def insmod(record: Record, name: str, sha256: str, params: Params, pid: int, path: str) -> Record:
    """change{n}. EEXIST: loaded. EINVAL: very many are. EBUSY: a transition that is finishing (at its
    start only ordinary modules are allowed; the load itself finds out which this is)."""
    if find(record["modules"], name):
        raise OSError(errno.EEXIST, f"module {name} is already loaded")
    if len(record["modules"]) >= MAX_ENTRIES:
        raise OSError(errno.EINVAL, f"more than {MAX_ENTRIES} modules")
    if record["transition"] and record["transition"]["step"] == FINISH:
        raise OSError(errno.EBUSY, f"the transition of '{record['transition']['patch']}' is finishing")
    return following(record, change={"n": record["seq"] + 1, "name": name, "sha256": sha256, "params": params,
                                     "livepatch": False, "replace": False, "pid": pid, "path": path})


def rmmod(record: Record, name: str) -> Record:
    """modules - it. ENOENT: not loaded; EBUSY: enabled, in transition, forced or used: what rmmod(8) calls 'in use'.

    (delete_module(2) has EWOULDBLOCK for a use count; rmmod and modprobe look first and fail with EBUSY, and a shell's
    'Device or resource busy' says what is the matter where 'Resource temporarily unavailable' would not.)
    """
    module = find(record["modules"], name)
    if module is None:
        raise OSError(errno.ENOENT, f"module {name} is not loaded")
    users = used(record, name)
    if users:
        raise OSError(errno.EBUSY, f"module {name} is in use by: {' '.join(users)}")
    if find(record["patches"], name) or module["forced"]:
        raise OSError(errno.EBUSY, f"module {name} is in use")
    return following(record, modules=[m for m in record["modules"] if m is not module])


def enabled(record: Record, patch: str) -> bool:
    """The value that the file `enabled` reads."""
    transition = record["transition"]
    return bool(transition["dir"]) if transition and transition["patch"] == patch else True


def set_enabled(record: Record, patch: str, value: bool) -> Record:
    """The write to `enabled`, as the kernel's enabled_store: ENODEV no such patch; EINVAL the present value; its own
    transition: the other way (EBUSY once that is finishing); EBUSY: another's transition."""
    if find(record["patches"], patch) is None:
        raise OSError(errno.ENODEV, f"there is no patch '{patch}'")
    if enabled(record, patch) == value:
        raise OSError(errno.EINVAL, f"patch '{patch}' is {'enabled' if value else 'being disabled'} already")
    transition = record["transition"]
    if transition and transition["patch"] == patch:
        if transition["step"] == FINISH:
            raise OSError(errno.EBUSY, f"the transition of '{patch}' is finishing")
        return following(record, transition={**transition, "dir": 1 - transition["dir"],
                                             "turn": transition["turn"] + 1})
    if transition:
        raise OSError(errno.EBUSY, f"the transition of '{transition['patch']}' is pending")
    return following(record, transition={"n": record["seq"] + 1, "patch": patch, "dir": 0, "turn": 1, "step": START,
                                         "replace": False, "forced": False})


def force(record: Record, patch: str) -> Record:
    """start -> finish, forced. EINVAL: this patch is not in transition; EBUSY: it is finishing already.

    As in the kernel's klp_force_transition the patches whose code may still run can never be unloaded.
    """
    transition = record["transition"]
    if not transition or transition["patch"] != patch:
        raise OSError(errno.EINVAL, f"patch '{patch}' is not in transition")
    if transition["step"] == FINISH:
        raise OSError(errno.EBUSY, f"the transition of '{patch}' is finishing")
    if not transition["dir"]:
        stay = {patch}
    elif transition["replace"]:
        stay = {p["name"] for p in record["patches"]} - {patch}
    else:
        stay = set()
    return following(record, transition={**transition, "step": FINISH, "forced": True},
                     modules=[{**m, "forced": True} if m["name"] in stay else m for m in record["modules"]])


def set_param(record: Record, module: str, param: str, value: str) -> Record:
    """The parameter's new value, for those who join later. ENODEV: no such module."""
    if find(record["modules"], module) is None:
        raise OSError(errno.ENODEV, f"there is no module {module}")

    def changed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**e, "params": {**e["params"], param: value}} if e["name"] == module else e for e in entries]
    return following(record, patches=changed(record["patches"]), modules=changed(record["modules"]))


def set_ftrace(record: Record, value: bool) -> Record:
    """kernel.ftrace_enabled. EBUSY: a patch is enabled, or being loaded."""
    if not value and (record["patches"] or record["change"]):
        raise OSError(errno.EBUSY, "a patch is enabled")
    return following(record, ftrace=value)


# ---- the coordinator's decisions

def given_up(record: Record) -> Record:
    """No change: a failure, an interrupt, a lost coordinator. A transition beside it stays."""
    return following(record, change=None)


def started(record: Record, votes: list[dict[str, Any]], warn: Callable[[str], None],
            put: Callable[[bytes], str]) -> Record:
    """The change is decided: a livepatch's transition starts; another module is loaded. votes: `prepared` of the
    agents.

    EBUSY: a livepatch beside a transition. EINVAL: the processes don't agree what it is. warn(text): they have loaded
    different code (of two releases, or of two CPythons); one that joins must have the code of one of them. put(content)
    stores their fingerprints and gives the content's name; what it raises passes."""
    change = record["change"]
    vote = votes[0]
    if any((v["livepatch"], v["replace"]) != (vote["livepatch"], vote["replace"]) for v in votes):
        raise OSError(errno.EINVAL, f"the processes disagree about what {change['name']} is")
    uses = sorted({name for v in votes for name in v["uses"] if find(record["modules"], name)})
    base = {key: change[key] for key in ("name", "sha256", "params")}
    module = {**base, "livepatch": vote["livepatch"], "path": change["path"], "uses": uses, "forced": False}
    modules = record["modules"] + [module]
    if not vote["livepatch"]:
        return following(record, change=None, modules=modules)
    if record["transition"]:
        raise OSError(errno.EBUSY, f"the transition of '{record['transition']['patch']}' is pending")
    prints = _together([v["fingerprints"] for v in votes], lambda obj, func: warn(
        f"klpfs: {change['name']}: processes have different code of {func} in {obj}"))
    patch = {**base, "n": change["n"], "fingerprints": put(prints.encode()) if prints else ""}
    return following(record, change=None, modules=modules, patches=record["patches"] + [patch],
                     transition={"n": change["n"], "patch": change["name"], "dir": 1, "turn": 1, "step": START,
                                 "replace": vote["replace"], "forced": False})


def _together(texts: list[str], differ: Callable[[str, str], None]) -> str:
    """The fingerprints of several processes; differ(object, function) where they are not the same. EINVAL: one is not
    to be read."""
    if len(set(texts)) == 1:
        return texts[0]
    prints: dict[Any, list[str]] = {}
    try:
        for obj, func, position, code in itertools.chain.from_iterable(map(text.parse_fingerprints, texts)):
            known = prints.setdefault((obj, func, position), [])
            if code not in known:
                known.append(code)
    except ValueError:
        raise OSError(errno.EINVAL, "a process tells fingerprints that are none") from None
    for (obj, func, _), codes in prints.items():
        if len(codes) > 1:
            differ(obj, func)
    return text.dump_fingerprints((*key, code) for key, codes in prints.items() for code in codes)


def decided(record: Record) -> Record:
    """start -> finish -> idle."""
    transition = record["transition"]
    if transition["step"] == START:
        return following(record, transition={**transition, "step": FINISH})
    return following(record, transition=None, patches=text.outcome(record))


# ---- what a report says

def seen(report: Report) -> int:
    """The highest seq that the reporting process has followed to its end; -1 without a report."""
    return report["seen"] if report else -1


def prepared(report: Report, n: int) -> bool:
    """Whether the process has prepared the change n."""
    return bool(report and report["prepared"] and report["prepared"]["n"] == n)


def holds(report: Report, n: int) -> bool:
    """Whether the process still has the change n, prepared or being loaded."""
    return bool(report and (prepared(report, n) or report["n"] == n and report["phase"] in (LOADING, PREPARED)))


def stuck(report: Report) -> bool:
    """Whether the process can't follow anything: it does not get a step that a defect has cut off taken back."""
    return any(blocker["kind"] == "defect" for blocker in (report["blockers"] if report else ()))


def over(record: Record, report: dict[str, Any]) -> bool:
    """Whether the process has finished the transition, or goes without its patch."""
    transition = record["transition"]
    patch = find(record["patches"], transition["patch"])
    return report["over"] == transition["n"] or bool(patch and patch["n"] in report["not_applied"])


def may_finish(record: Record, report: Report) -> bool:
    """For `finish`: started, this turn, clean; or over."""
    if not report:
        return False
    t = record["transition"]
    return over(record, report) or (report["n"] == t["n"] and report["phase"] == STARTED
                                    and report["turn"] == t["turn"]
                                    and report["dir"] == t["dir"] and report["clean"])


def may_rest(record: Record, report: Report) -> bool:
    """For `idle`: over, and the record followed to its end."""
    return bool(report and over(record, report) and seen(report) >= record["seq"])
