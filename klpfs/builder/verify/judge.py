"""The weight of differences: which refuse a livepatch, which are told to who builds it, which are listed in its head,
and which are no difference.

Each mask is of a kind, with its reason; none is of a package's own module.
"""
from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable
from typing import Callable, Union

from attrs import define, field

from klpfs.builder.plan.planner import OF_RELEASE
from klpfs.builder.verify.compare import Difference, Trail

# The interpreter's and its library's own modules: book-keeping that differs with each run, or with what klpfs does.
_BOOK_KEEPING = frozenset("""sys gc linecache _warnings _weakrefset warnings tokenize ast _frozen_importlib builtins
    _frozen_importlib_external importlib._bootstrap importlib._bootstrap_external zipimport _thread marshal tracemalloc
    sys.monitoring re._parser re._compiler _operator threading""".split())
# Modules of the library that keep caches beside what programs put into them.
_WITH_CACHES = frozenset("re sre_compile sre_parse functools typing copyreg abc _abc inspect shutil enum".split())
_CACHES = (
    "._value2member_map_[",     # an enum's composites, made when somebody asks
    "._dirty_len", "_pending_removals",     # weakref's
    "warningregistry",          # which warnings were shown
    "_overload_registry",       # typing's, by line numbers
    "__slotnames__",            # copyreg's
    "._is_stopped", "._tstate_lock", "._handle",    # threading's: a thread's end, in a copy of its process
    ".manager.loggerDict", ":_handlerList[",        # logging's: who has asked for a logger, and when
)
_TEXTS = re.compile(r"(^|[.:!])__doc__$|(^|:)__all__$|[.:]__slots__$|[.:]__match_args__$")
_ANNOTATIONS = re.compile(r"__annotations__|!annotation of ")
_RELEASE = re.compile(r"version|^__(release)?date__$|^__author__$|^__copyright__$|^__license__$|^__build__$", re.I)
_OLD_NAME = re.compile(r":[^\[<]*$")


Versions = Union["tuple[str | None, str | None]", None]        # OLD's and NEW's number, as far as they are known


@define
class Judgement:
    """refusing: the livepatch does not do what the release does. telling: it may matter. listed: {reason: how many}."""

    refusing: list[Difference] = field(factory=list)
    telling: list[Difference] = field(factory=list)
    listed: dict[str, int] = field(factory=dict)


class Unsteady:
    """The places at which two runs of NEW differ: what is there comes of the machine, the moment or chance."""

    def __init__(self, found: Iterable[Difference]) -> None:
        self.paths: dict[str, set[str]] = {}
        for each in found:
            self.paths.setdefault(each.path, set()).add(each.what)

    def covers(self, difference: Difference) -> bool:
        """Whether a difference from NEW is of that kind: another value of the same type, or what comes and goes in NEW
        as well. A place that OLD lacks, or has for another type, is no matter of chance."""
        kinds = self.paths.get(difference.path, set())
        if difference.what == "value" and "value" in kinds:
            return _type(difference.mine) == _type(difference.wanted)
        return bool(kinds - {"value"})


def _type(words: str) -> str:
    """The type of a plain value, by its words; of others the words' first."""
    try:
        return type(ast.literal_eval(words)).__name__
    except (SyntaxError, ValueError):       # a long text is cut
        return {"'": "str", '"': "str", "b": "bytes"}.get(words[:1], words.partition(" ")[0])


def judge(found: Iterable[Difference], unsteady: Unsteady, roots: set[str], versions: Versions = None,
          bound_by_loops: Callable[[str], set[str]] = lambda module: set(),
          of_others: Collection[int] = ()) -> Judgement:
    """The differences between OLD with the livepatch and NEW. unsteady: paths that differ between two runs of NEW.
    roots: first names of the package's modules. versions: of both. bound_by_loops(module): its names that
    only loops of its top level bind."""
    result = Judgement()
    for each in found:
        if is_book_keeping(each):
            continue
        reason = "values of the machine, the moment or chance" if unsteady.covers(each) else why_small(each, versions)
        module, _, name = each.path.partition(":")
        if name.isidentifier() and name in bound_by_loops(module):
            reason = "variables of loops at import"
        if reason:
            result.listed[reason] = result.listed.get(reason, 0) + 1
        elif each.module.partition(".")[0] in roots and not _leads_through(each.trail, of_others):
            result.refusing.append(each)
        else:
            result.telling.append(each)
    return result


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
    module = difference.module
    return module in _BOOK_KEEPING or any(each in difference.path for each in _CACHES) or (
        module in _WITH_CACHES and "cache" in difference.path)


def why_small(difference: Difference, versions: Versions = None) -> str:
    """Why a difference of the package's does not count, in words for the livepatch's head; '': it does."""
    path = difference.path
    name = re.split(r"[.:!]", path)[-1]
    first = path.partition(":")[2].partition("[")[0].partition(".")[0]
    if "!subclasses[" in path:
        return "lists of subclasses"
    if _TEXTS.search(path):
        return "docstrings and lists of names"
    if _RELEASE.search(name) or _RELEASE.search(first) or name in OF_RELEASE or _is_version(difference, versions):
        return "what the release says of itself"
    if _ANNOTATIONS.search(path):
        return "annotations"
    if path.endswith("<__class__>") and difference.what == "missing":
        return "the cells of super(), which klpfs gives its class"
    if difference.what == "extra" and _OLD_NAME.search(path):
        return "names of the old version that stay"
    return ""


def _is_version(difference: Difference, versions: Versions) -> bool:
    """Whether two texts are the same but for the release's number in them."""
    old, new = versions or (None, None)
    return bool(old and new and old in difference.mine and difference.mine.replace(old, new) == difference.wanted)
