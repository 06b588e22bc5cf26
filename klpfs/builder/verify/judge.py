"""The weight of differences: which refuse a livepatch, which are told to who builds it, which are listed in its head,
and which are no difference.

Each mask is of a kind, with its reason; none is of a package's own module. What a mask hides is listed by its path, and
none hides what NEW's code reads (readers.py).
"""
from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Callable, Union

from attrs import define, field

from klpfs.builder.plan.planner import OF_RELEASE
from klpfs.builder.verify.chance import Unsteady
from klpfs.builder.verify.compare import Difference, Trail
from klpfs.builder.verify.readers import Readers

# The interpreter's and its library's own modules: book-keeping that differs with each run, or with what klpfs does.
_BOOK_KEEPING = frozenset("""sys gc linecache _warnings _weakrefset warnings tokenize ast _frozen_importlib builtins
    _frozen_importlib_external importlib._bootstrap importlib._bootstrap_external zipimport _thread marshal tracemalloc
    sys.monitoring re._parser re._compiler _operator threading""".split())
# What counts in these all the same: hooks and settings of the process.
_SETTINGS = {
    "sys": frozenset("""excepthook displayhook unraisablehook breakpointhook meta_path path_hooks path
        dont_write_bytecode pycache_prefix getrecursionlimit() getswitchinterval() gettrace() getprofile()""".split()),
    "gc": frozenset(("isenabled()", "get_threshold()", "callbacks")),
    "warnings": frozenset(("filters", "showwarning", "formatwarning")),
    "threading": frozenset(("excepthook", "_trace_hook", "_profile_hook")),
}
# Modules of the library that keep caches beside what programs put into them.
_WITH_CACHES = frozenset("re sre_compile sre_parse functools typing copyreg abc _abc inspect shutil enum".split())
_CACHES_BY_PATH = ("typing:_overload_registry", "logging:_handlerList")     # by line numbers; who has asked, and when
_TEXTS = re.compile(r"(^|[.:!])__doc__$|^[^:]*:__all__$|[.:]__slots__$")
_ANNOTATIONS = re.compile(r"__annotations__|!annotation of ")
_OLD_NAME = re.compile(r":[^\[<]*$")
_ORDER = ".__dict__"
_FEATURE = "instance __future__._Feature"
_NUMBER = re.compile(r"\d+")


Versions = Union["tuple[str | None, str | None]", None]        # OLD's and NEW's number, as far as they are known


@define
class Judgement:
    """refusing: the livepatch does not do what the release does. telling: it may matter. listed: {reason: paths}."""

    refusing: list[Difference] = field(factory=list)
    telling: list[Difference] = field(factory=list)
    listed: dict[str, list[str]] = field(factory=dict)


def judge(found: Iterable[Difference], unsteady: Unsteady, roots: set[str], versions: Versions = None,
          bound_by_loops: Callable[[str], set[str]] = lambda module: set(),
          of_others: Collection[int] = (), readers: Readers | None = None,
          is_added: Callable[[Difference], bool] = lambda extra: False) -> Judgement:
    """The differences between OLD with the livepatch and NEW. unsteady: what two runs of NEW have otherwise. roots:
    first names of the package's modules. versions: of both. bound_by_loops(module): its names that only loops of its
    top level bind. of_others: nodes of OLD's graph that are other packages' objects. readers: of NEW's code; None: it
    reads nothing of what is masked. is_added(extra): whether OLD had nothing there, so that it is the livepatch's."""
    result = Judgement()
    found = [each for each in found if not is_book_keeping(each)]
    by_chance = unsteady.covered(found)
    for each in found:
        reason = "values of the moment or chance" if each in by_chance else why_small(each, versions, readers)
        module, _, name = each.path.partition(":")
        if name.isidentifier() and name in bound_by_loops(module) and not (readers and readers.name(module, name)):
            reason = "variables of loops at import"
        if each.what == "extra" and not each.path.endswith("]") and is_added(each):
            reason = "what the livepatch gives classes, for objects made before"
        if reason:
            if each.module.partition(".")[0] in roots:
                result.listed.setdefault(reason, []).append(each.path)
        elif each.module.partition(".")[0] in roots and not _leads_through(each.trail, of_others) and not (
                _is_for_readers(each.path)):
            result.refusing.append(each)
        else:
            result.telling.append(each)
    return result


def _is_for_readers(path: str) -> bool:
    """Whether a place is of what explains the code, which the package's code reads all the same."""
    return path.endswith("__doc__") or bool(_ANNOTATIONS.search(path))


def _leads_through(trail: Trail | None, nodes: Collection[int]) -> bool:
    """Whether the place is in one of these objects, however deep."""
    trail = trail.up if trail is not None else None
    while trail is not None:
        if trail.mine in nodes:
            return True
        trail = trail.up
    return False


def judge_back(found: Iterable[Difference], unsteady: Unsteady) -> list[Difference]:
    """Of the differences between OLD before the livepatch and after: what is not taken back."""
    return [each for each in found if each.path not in unsteady.paths and not is_book_keeping(each)
            and "!subclasses[" not in each.path and not _was_imported(each)]


def _was_imported(difference: Difference) -> bool:
    """A module that was imported meanwhile stays, on purpose."""
    return difference.what == "extra" and (
        difference.path.startswith("sys.modules[") or difference.mine.startswith("module "))


def is_book_keeping(difference: Difference) -> bool:
    """Whether a place is of the interpreter's or its library's own."""
    module, _, name = difference.path.partition(":")
    if module in _BOOK_KEEPING:
        return re.split(r"[.\[!]", name)[0] not in _SETTINGS.get(module, ())
    return difference.path.startswith(_CACHES_BY_PATH) or module in _WITH_CACHES and "cache" in difference.path


def why_small(difference: Difference, versions: Versions = None, readers: Readers | None = None) -> str:
    """Why a difference of the package's does not count, in words for the livepatch's head; '': it does. readers: of
    NEW's code, for what it reads counts."""
    path = difference.path
    module, _, inner = path.partition(":")
    name = re.split(r"[.:!]", path)[-1]
    first = re.split(r"[.\[!<]", inner)[0]
    if "!subclasses[" in path:
        return "" if readers and readers.subclasses else "lists of subclasses"
    if _TEXTS.search(path):
        return "" if readers and _text_is_read(readers, module, inner, name) else "docstrings and lists of names"
    if first in OF_RELEASE and "." not in inner or _is_version(difference, versions, name):
        return "what the release says of itself"
    if _ANNOTATIONS.search(path):
        return "" if readers and readers.annotations else "annotations"
    if path.endswith("<__class__>") and difference.what == "missing":
        return "the cells of super(), which klpfs gives its class"
    if _FEATURE in (difference.mine, difference.wanted) and inner == name:
        return "names of __future__, which the compiler alone reads"
    if difference.what == "order" and path.endswith(_ORDER):
        return "" if readers and readers.own_dicts else "the order of objects' attributes"
    if difference.what == "extra" and _OLD_NAME.search(path):
        read = readers and (readers.name(module, name) if inner == name else readers.attribute(name))
        return "" if read else "names of the old version that stay"
    return ""


def _text_is_read(readers: Readers, module: str, inner: str, name: str) -> bool:
    """Whether NEW's code makes something of a docstring or a list of names."""
    if name == "__doc__":
        return readers.docs or inner == name and module in readers.own_docs
    return name == "__all__" and readers.lists_of_names


def _is_version(difference: Difference, versions: Versions, name: str) -> bool:
    """Whether two values are the same but for the release's number in them: one of three parts or more, which is
    nothing else's; a shorter one where the name says what it is. Or they are parts of it, at their places."""
    old, new = versions or (None, None)
    if not old or not new:
        return False
    if old in difference.mine and difference.mine.replace(old, new) == difference.wanted:
        return old.count(".") > 1 or "version" in name.lower() or "agent" in name.lower() or (
            difference.mine.strip("'\"") != old)
    at = re.search(r"version\w*(?:\._?release)?\[(\d)\]$", difference.path, re.I)     # of packaging's Version, too
    numbers = [_NUMBER.findall(each) for each in (old, new)]
    return at is not None and all(int(at[1]) < len(each) for each in numbers) and (
        [difference.mine, difference.wanted] == [each[int(at[1])] for each in numbers])
