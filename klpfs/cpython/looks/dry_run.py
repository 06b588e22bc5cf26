"""What a livepatch would find in this process if it were loaded now: a dry run of the engine's checks, for `klpfs check`.

Nothing is put into force. Each function is found and compiled as for a load (so the lines that a refusal would log are
the same ones), given back at once, and it is told who is inside it.
"""
from klpfs.engine.error import KlpError
from klpfs.engine.init_patch import check_names
from klpfs.engine.log import WARNING, Log
from klpfs.cpython.looks import look, names_for_people
from klpfs.cpython.raw import SUSPENDS

SLICE = 50      # threads whose stacks are taken in one call


def survey(target, loaded):
    """Plain data on a file that load.probe has run: {'livepatch': bool, 'replace': bool, 'refused': text or '',
    'objects': [OBJECT]}.

    OBJECT {'name', 'loaded': bool, 'funcs': [FUNC]}; FUNC {'name': 'old_name,position', 'refused': the line that a load
    would log or '', 'warnings': [text], 'where': 'file:line' of the original, 'count': how many function objects are
    alive, 'fingerprint': 'matches' (given, and it does), 'not given' or 'not there' (optional, and the program has no such
    function), 'inside': [[kind, task, name, [frame]]]}.
    target: the PythonTarget, which logs elsewhere meanwhile: to be called under the lock that guards it.
    """
    patch = loaded.patch
    found = {"livepatch": loaded.livepatch, "replace": bool(patch is not None and patch.replace), "refused": "", "objects": []}
    if patch is None:
        return found
    heard, was = Log(target.log.clock_us, 64), target.log
    target.log = heard
    try:
        try:
            check_names(heard, patch, loaded.name)
        except KlpError as error:
            found["refused"] = _words(error.strerror)
        for obj in patch.objects:
            found["objects"].append(_object(target, obj, heard))
    finally:
        target.log = was
    return found


def _object(target, obj, heard):
    there = target.loaded(obj.name) is not None
    funcs, definitions = [], {}
    try:
        for func in obj.funcs:
            func.obj = obj
            row = {"name": "%s,%d" % (func.old_name, func.old_sympos or 1), "refused": "", "warnings": [], "where": "", "count": 0,
                   "fingerprint": "not given" if func.fingerprint is None else "matches", "inside": []}
            funcs.append(row)
            if not there:
                continue
            heard.records.clear()
            try:
                target.resolve(obj, func)
            except KlpError as error:
                row["refused"] = _words(error.strerror)
                continue
            if func.definition is None:         # optional, and the program has none
                row["fingerprint"] = "not there"
                continue
            row["warnings"] = [_words(each.text) for each in heard.records if each.priority == WARNING]
            if func.definition in definitions:
                row["refused"] = "function '%s' of object '%s' is patched twice" % (func.old_name, obj.shown)
                continue
            definitions[func.definition] = row
            row["where"] = "%s:%d" % (func.definition.code.co_filename, func.definition.code.co_firstlineno)
        alive = target.registry.functions(list(definitions))
        for definition, row in definitions.items():
            row["count"] = len(alive[definition])
        _inside(definitions)
    finally:
        for func in obj.funcs:
            if func.definition is not None:
                target.release(func)
    return {"name": obj.shown, "loaded": there, "funcs": funcs}


def _inside(definitions):
    """Fills the rows' 'inside': threads that have a frame of any code of the function, and what is suspended in it."""
    rows, codes = {}, []
    for definition, row in definitions.items():
        for code in list(definition.originals.values()) + list(definition.made.values()):
            rows[id(code)] = row
            codes.append(code)
    names, idents = names_for_people.thread_names(), look.idents()
    for at in range(0, len(idents), SLICE):
        for ident, pairs in look.lines(tuple(idents[at:at + SLICE])):
            seen = []
            for code, line in pairs:
                row = rows.get(id(code))
                if row is not None and not any(row is each for each in seen):
                    seen.append(row)
                    native, name = names.get(ident, (None, None))
                    row["inside"].append(["thread", native or ident, name or "thread %d" % ident, [names_for_people.frame(code, line)]])
    for row in definitions.values():
        mine = [code for code in codes if rows[id(code)] is row and code.co_flags & SUSPENDS]
        if not mine:
            continue
        references = [each for each in look.suspended(mine)[1] if look.has_frame(each)]
        owners = names_for_people.owners(references)
        for each in references:
            blocker = names_for_people.suspended(each, owners.get(id(each)))
            if blocker.frames:
                row["inside"].append([blocker.kind, blocker.task, blocker.name, list(blocker.frames)])


def _words(text):
    """A log line without the prefix."""
    text = text or ""
    return text[len("livepatch: "):] if text.startswith("livepatch: ") else text
