"""A dry run of a load, for `klpfs check`: what the engine's checks would find in this process if a livepatch were
loaded now.

Nothing is put into force. Each function is found and compiled as for a load (so the lines that a refusal would log are
the same lines), given back at the end, and what is inside it is told. Runs in the agent's thread, when there is time.
"""
from __future__ import annotations

from klpfs.cpython.raw import ASYNC_GENERATOR, SUSPENDS
from klpfs.engine.bounds import MAX_INSIDE, MAX_OBJECTS, MAX_SURVEY_CHARS, MAX_SURVEY_VALUES, MAX_SURVEYED
from klpfs.engine.data import keep, thaw
from klpfs.engine.error import KlpError
from klpfs.engine.init_patch import check_fields, check_names, check_states
from klpfs.engine.log import WARNING, Log

from . import names_for_people, suspended, threads
from .run_by import run_by
from .thread_names import thread_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.resolve.definitions import Definition
    from klpfs.cpython.target import PythonTarget
    from klpfs.engine.data import Object, Patch
    Row = dict[str, Any]

SLICE = 50      # threads whose stacks are taken in one call


def survey(target: PythonTarget, loaded: LoadedModule, in_force: Sequence[Patch] = ()) -> dict[str, Any]:
    """Plain data on a file that load.probe has run: {'livepatch': bool, 'replace': bool, 'refused': text or '',
    'objects': [OBJECT], 'python': run_by.run_by()}.

    OBJECT {'name', 'loaded': bool, 'funcs': [FUNC]}; FUNC {'name': 'old_name,position', 'refused': the line that a load
    would log or '', 'warnings': [text], 'where': 'file:line' of the original, 'count': how many function objects are
    alive, 'fingerprint': 'matches' (given, and it does), 'not given' or 'not there' (optional, and the program has no
    such function), 'inside': [[kind, task, name, [frame]]]}. in_force: the patches. target: the PythonTarget, which
    logs elsewhere meanwhile: to be called under the lock that guards it.
    """
    patch = loaded.patch
    result: dict[str, Any] = {"livepatch": loaded.livepatch, "replace": False, "refused": "", "objects": [],
                              "python": run_by()}
    if patch is None:
        return result
    looked_at: list[Object] = []
    own_log, target_log = Log(target.log.clock_us, 64), target.log
    target.log = own_log
    try:
        try:
            check_fields(own_log, patch, loaded.name)
        except KlpError as error:
            return {**result, "refused": _without_prefix(error.strerror)}
        result["replace"] = patch.replace
        try:
            check_names(own_log, patch, loaded.name)
            check_states(own_log, patch, loaded.name, in_force)
        except KlpError as error:
            result["refused"] = _without_prefix(error.strerror)
        found: set[Definition] = set()       # of all objects: a module may have two names
        for obj in patch.objects if len(patch.objects) <= MAX_OBJECTS else ():
            looked_at.append(obj)
            result["objects"].append(_object(target, obj, own_log, found))
    finally:
        for func in [func for obj in looked_at for func in obj.funcs if func.definition is not None]:
            target.release(func)
        thaw(patch)
        target.log = target_log
    _cut(result["objects"])
    return result


def _cut(objects: list[Row]) -> None:
    """Count the functions beyond what is told: in a row of their own, with the first refusal of theirs."""
    cut: list[Row] = []
    told, values, chars = 0, MAX_SURVEY_VALUES, MAX_SURVEY_CHARS
    for obj in objects:
        kept: list[Row] = []
        values, chars = values - 8, chars - len(obj["name"])
        for row in obj["funcs"]:
            texts = [row["name"], row["refused"], row["where"], *row["warnings"],
                     *[text for stack in row["inside"] for text in (stack[2], *stack[3])]]
            values, chars = values - 20 - len(texts) - 5 * len(row["inside"]), chars - sum(map(len, texts))
            told += 1
            (cut if told > MAX_SURVEYED or values < 0 or chars < 0 else kept).append(row)
        obj["funcs"] = kept
    if cut:
        refusal = next((f"{row['name']}: {row['refused']}" for row in cut if row["refused"]), "")
        objects[-1]["funcs"].append({"name": f"{len(cut)} more", "refused": refusal, "warnings": [], "where": "",
                                     "count": 0, "fingerprint": "", "inside": []})


def _object(target: PythonTarget, obj: Object, log: Log, others: set[Definition]) -> dict[str, Any]:
    """others: the definitions that the patch's objects before have; this one's are added."""
    is_loaded = target.loaded(obj.name) is not None
    rows: list[Row] = []
    definitions: dict[Definition, Row] = {}
    for func in obj.funcs:
        keep(func, "obj", obj)
        row: Row = {"name": f"{func.old_name},{func.old_sympos or 1}", "refused": "", "warnings": [], "where": "",
                    "count": 0, "fingerprint": "not given" if func.fingerprint is None else "matches", "inside": []}
        rows.append(row)
        if not is_loaded:
            continue
        log.records.clear()
        try:
            target.resolve(obj, func)
        except KlpError as error:
            row["refused"] = _without_prefix(error.strerror)
            continue
        if func.definition is None:         # optional, and the program has none
            row["fingerprint"] = "not there"
            continue
        row["warnings"] = [_without_prefix(record.text) for record in log.records if record.priority == WARNING]
        definition: Any = func.definition
        if definition in others:
            row["refused"] = f"function '{func.old_name}' of object '{obj.shown}' is patched twice"
            continue
        others.add(definition)
        definitions[definition] = row
        row["where"] = f"{definition.code.co_filename}:{definition.code.co_firstlineno}"
    alive = target.registry.functions(list(definitions))
    for definition, row in definitions.items():
        row["count"] = len(alive[definition])
    _inside(definitions)
    return {"name": obj.shown, "loaded": is_loaded, "funcs": rows}


def _inside(definitions: dict[Definition, Row]) -> None:
    """Fills the rows' 'inside': threads that have a frame of any code of the function, and what is suspended in it."""
    rows: dict[int, Row] = {}       # id of code -> row
    codes = []
    for definition, row in definitions.items():
        for code in definition.codes():
            rows[id(code)] = row
            codes.append(code)
    names, idents = thread_names(), threads.idents()
    for at in range(0, len(idents), SLICE):
        for ident, pairs in threads.lines(tuple(idents[at:at + SLICE])):
            named: list[Row] = []
            for code, line in pairs:
                row_of_code = rows.get(id(code))
                if row_of_code is not None and not any(row_of_code is each for each in named):
                    named.append(row_of_code)
                    native, name = names.get(ident, (None, None))
                    row_of_code["inside"].append(
                        ["thread", native or ident, name or f"thread {ident}", [names_for_people.frame(code, line)]])
    suspendable = [code for code in codes if code.co_flags & SUSPENDS]
    running: list[int] = []
    references = suspended.find(suspendable, None, None, running)[1] if suspendable else []
    references = [reference for reference in references if suspended.has_frame(reference)]
    owners = names_for_people.owners(references)
    for reference in references:
        row_of_code = next((rows[key] for _, prefix in suspended.KINDS
                            for key in (suspended.code_id(reference, prefix),) if key in rows), None)
        blocker = names_for_people.suspended(reference, owners.get(id(reference)))
        if row_of_code is not None and blocker.frames:
            row_of_code["inside"].append([blocker.kind, blocker.task, blocker.name, list(blocker.frames)])
    for code in suspendable:
        # an asynchronous generator that waits is told by its code alone, as what runs is: of that a thread is inside
        if id(code) in running and code.co_flags & ASYNC_GENERATOR and not rows[id(code)]["inside"]:
            rows[id(code)]["inside"] += [[blocker.kind, blocker.task, blocker.name, list(blocker.frames)]
                                         for blocker in names_for_people.running({id(code): code})]
    for row in definitions.values():
        _cut_inside(row)


def _cut_inside(row: Row) -> None:
    """Count what is inside a function beyond what is told of it."""
    inside = row["inside"]
    if len(inside) > MAX_INSIDE:
        row["inside"] = inside[:MAX_INSIDE - 1] + [[inside[-1][0], 0, f"{len(inside) - MAX_INSIDE + 1} more", []]]


def _without_prefix(line: str | None) -> str:
    """A log line without the prefix."""
    line = line or ""
    return line[len("livepatch: "):] if line.startswith("livepatch: ") else line
