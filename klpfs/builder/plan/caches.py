"""Caches of a package: where it keeps what it has computed from values that a release changes.

Found by how a cache is written: an attribute that a function makes when it is missing, a table that a function looks
into and puts its result into, functools.lru_cache, a cached property of whatever library, the hook of an abstract
class. The content of a cache is made of what its function reads, itself or in methods and functions of its module that
it calls. """
from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from attrs import define, field

from klpfs.builder.compare.equivalence import dump
from klpfs.builder.plan.plans import Cache
from klpfs.builder.read.modules import Module
from klpfs.builder.syntax import (
    DEFINITIONS,
    FUNCTIONS,
    FunctionNode,
    decorator_name,
    last_name,
    parameter_names,
    walk_outside,
)

_LRU = ("lru_cache", "cache", "functools.lru_cache", "functools.cache")
_PROPERTY = "cached_property"       # functools', and what other libraries have under that name
_HOOK = "__subclasshook__"          # whose answers its class remembers
_OF_FUNCTIONS = ("()", "@", "!")    # how caches end that are what a function has answered


@define
class _Reads:
    """The names that a function uses. names: of globals and attributes. calls: names of functions and methods. any: it
    reads attributes by names that are not in its text."""

    names: set[str] = field(factory=set)
    calls: set[str] = field(factory=set)
    any: bool = False


_ByName = dict[str, list[_Reads]]       # what the functions of a name read


def caches_of(module: Module) -> list[Cache]:
    """All caches of a module."""
    functions = list(_functions(module.tree.body, ""))
    inside = [each for function in functions for each in _cached_inside(*function)]
    reads = _reads_by_name(functions + inside)
    found = []
    for owner, node in functions + inside:
        for text in _caches_in(owner, node):
            names, reads_any = _reach(node.name, reads)
            if text.endswith(_OF_FUNCTIONS):
                names.add(node.name)        # what it answered before it changed
            found.append(Cache(f"{module.name}:{text}", module, names, reads_any, *_making(node, text)))
    for name, function in _put_on_others(module.tree.body):
        names, reads_any = _reach(function, reads)
        found.append(Cache(f"{module.name}:{name}()", module, names | {function}, reads_any))
    return found


def concerned(caches: Iterable[Cache], data: set[str], functions: set[str], attributes: bool) -> list[Cache]:
    """The caches that hold what was made of changed values, or by changed functions.

    Functions count for lru_cache, cached properties and hooks alone: their user has said that calling again does no
    harm. attributes: class attributes are among what changed. """
    found: dict[str, Cache] = {}
    for cache in caches:
        by_function = cache.text.endswith(_OF_FUNCTIONS) and cache.reads & functions
        if cache.reads & data or cache.reads_any and attributes or by_function:
            found.setdefault(cache.text, cache)
    return list(found.values())


def computed_by(tree: ast.Module, node: ast.AST, functions: set[str]) -> bool:
    """Whether a statement of a module's top level calls a function of this set, itself or through others of the
    module."""
    table = _reads_by_name((owner, function) for owner, function in _functions(tree.body, "") if not owner)
    todo = [call.func.id for call in ast.walk(node) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)]
    seen = set()
    while todo:
        name = todo.pop()
        if name in functions:
            return True
        if name not in seen:
            seen.add(name)
            calls = {called for reads in table.get(name, ()) for called in reads.calls}
            todo += [called for called in calls if called in table or called in functions]
    return False


# -------------------------------------------------------------------------------------------- what functions read

def _functions(body: list[ast.stmt], owner: str) -> Iterator[tuple[str, FunctionNode]]:
    """(dotted name of its class or '', function) of all functions and methods that a body defines."""
    for node in body:
        if isinstance(node, FUNCTIONS):
            yield owner, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{owner}.{node.name}" if owner else node.name)
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            for block in ("body", "orelse", "finalbody"):
                yield from _functions(getattr(node, block, []), owner)


def _cached_inside(owner: str, node: FunctionNode) -> Iterator[tuple[str, FunctionNode]]:
    """(dotted name of what makes it, function) of the functions in a function that lru_cache is put on."""
    owner = f"{owner}.{node.name}.<locals>".lstrip(".")
    for inner in walk_outside(DEFINITIONS, *node.body):
        if isinstance(inner, FUNCTIONS):
            if _has_lru(inner):
                yield owner, inner
            yield from _cached_inside(owner, inner)


def _put_on_others(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """(name, name of the function) of `name = lru_cache(None)(function)` at the top level."""
    for node in body:
        value = getattr(node, "value", None)
        if isinstance(node, ast.Assign) and isinstance(value, ast.Call) and len(value.args) == 1:
            target, function = node.targets[0], last_name(value.args[0])
            if decorator_name(value.func) in _LRU and isinstance(target, ast.Name) and function:
                yield target.id, function


def _reads_by_name(functions: Iterable[tuple[str, FunctionNode]]) -> _ByName:
    table: _ByName = {}
    for _, node in functions:
        table.setdefault(node.name, []).append(_reads(node))
    return table


def _reads(function: FunctionNode) -> _Reads:
    found = _Reads()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.names.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.names.add(node.value)
        elif isinstance(node, ast.Call):
            name = last_name(node.func)
            if name == "getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant):
                found.any = True
            elif name:
                found.calls.add(name)
    return found


def _reach(name: str, functions: _ByName) -> tuple[set[str], bool]:
    """(names that the functions of a name read, whether they read any attribute), with all that they call."""
    names: set[str] = set()
    reads_any, seen, todo = False, set(), [name]
    while todo:
        called = todo.pop()
        if called in seen:
            continue
        seen.add(called)
        for reads in functions.get(called, ()):
            names |= reads.names
            reads_any = reads_any or reads.any
            todo += reads.calls
    return names, reads_any


# ----------------------------------------------------------------------------------------- how caches are written

def _caches_in(owner: str, node: FunctionNode) -> Iterator[str]:
    """The caches that a function keeps, as cpython/import_time/caches.py names them."""
    if _has_lru(node):
        yield f"{owner}.{node.name}()" if owner else f"{node.name}()"
    if owner.endswith("<locals>"):
        return
    if owner and any(last_name(decorator) == _PROPERTY for decorator in node.decorator_list):
        yield f"{owner}.{node.name}@"
    if owner and node.name == _HOOK:
        yield f"{owner}!"
    holder = _first_parameter(node) if owner else ""
    if holder and node.name not in ("__init__", "__new__"):
        yield from _lazy_attributes(owner, node, holder)
    yield from _tables(owner, node, holder)


def _has_lru(node: FunctionNode) -> bool:
    return any(decorator_name(decorator) in _LRU for decorator in node.decorator_list)


def _first_parameter(node: FunctionNode) -> str:
    parameters = node.args.posonlyargs + node.args.args
    return parameters[0].arg if parameters else ""


def _lazy_attributes(owner: str, function: FunctionNode, holder: str) -> Iterator[str]:
    """Attributes that a method makes when its object has none of them."""
    stored = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)
              and isinstance(node.ctx, ast.Store) and _is_name(node.value, holder)}
    for attribute in sorted(stored):
        for node in ast.walk(function):
            absence = _absence_test(node, holder, attribute)
            if absence is not None:
                yield f"{owner}.{attribute}{absence}"
                break


def _making(function: FunctionNode, text: str) -> tuple[list[ast.stmt], str]:
    """(statements that fill a cache, their name for its holder), where the function is a constructor; else ([], '')."""
    if function.name not in ("__call__", "__new__") or text.endswith(_OF_FUNCTIONS):
        return [], ""
    holder, attribute = _first_parameter(function), text.rpartition(".")[2].partition("=")[0]
    for node in ast.walk(function):
        if isinstance(node, ast.If) and any(_absence_test(test, holder, attribute) is not None
                                            for test in ast.walk(node.test)):
            return node.body, holder
    return [], ""


def _absence_test(node: ast.AST, holder: str, attribute: str) -> str | None:
    """How a piece of syntax tells that an attribute was not made yet: '' by its absence, '=None'; None: it is no such
    test."""
    test = _ABSENCE_TESTS.get(type(node))
    return None if test is None else test(node, holder, attribute)


def _compares(node: ast.Compare, holder: str, attribute: str) -> str | None:
    """'attribute' in holder.__dict__, 'attribute' in vars(holder), holder.attribute is None."""
    if len(node.ops) != 1:
        return None
    right = node.comparators[0]
    if isinstance(node.ops[0], (ast.In, ast.NotIn)) and _text(node.left) == attribute:
        if getattr(right, "attr", None) == "__dict__" or getattr(getattr(right, "func", None), "id", "") == "vars":
            return ""
    if isinstance(node.ops[0], (ast.Is, ast.IsNot)) and _attribute(node.left, holder) == attribute:
        if isinstance(right, ast.Constant) and right.value is None:
            return "=None"
    return None


def _calls_hasattr(node: ast.Call, holder: str, attribute: str) -> str | None:
    """hasattr(holder, 'attribute')"""
    if getattr(node.func, "id", "") == "hasattr" and len(node.args) == 2 and (
            _is_name(node.args[0], holder) and _text(node.args[1]) == attribute):
        return ""
    return None


def _catches(node: ast.Try, holder: str, attribute: str) -> str | None:
    """try: holder.attribute except AttributeError"""
    if any(getattr(handler.type, "id", "") == "AttributeError" for handler in node.handlers):
        if any(_attribute(inner, holder) == attribute and isinstance(inner.ctx, ast.Load)
               for statement in node.body for inner in ast.walk(statement) if isinstance(inner, ast.Attribute)):
            return ""
    return None


_ABSENCE_TESTS: dict[type, Callable[[Any, str, str], str | None]] = {
    ast.Compare: _compares, ast.Call: _calls_hasattr, ast.Try: _catches}


def _tables(owner: str, function: FunctionNode, holder: str) -> Iterator[str]:
    """Tables that a function looks into and puts its results into."""
    parameters = parameter_names(function.args)
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or (isinstance(node.value, ast.Name) and node.value.id in parameters):
            continue
        if isinstance(node.value, ast.Constant):
            continue
        for target in node.targets:
            if not isinstance(target, ast.Subscript):
                continue
            table = target.value
            if _looks_into(function, table) and _returns_stored(function, node):
                attribute = _attribute(table, holder)
                if attribute:
                    yield f"{owner}.{attribute}{{}}"
                elif isinstance(table, ast.Name) and table.id not in parameters and not _is_local(function, table.id):
                    yield f"{table.id}{{}}"


def _looks_into(function: FunctionNode, table: ast.expr) -> bool:
    """The function reads TABLE.get(...) or TABLE[...]."""
    text = ast.dump(table)
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and (
                ast.dump(node.func.value) == text):
            return True
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and ast.dump(node.value) == text:
            return True
    return False


def _returns_stored(function: FunctionNode, store: ast.Assign) -> bool:
    """Whether the function returns what it puts into the table."""
    values = {dump(node) for node in (store.value, *store.targets)}
    return any(isinstance(node, ast.Return) and node.value is not None and dump(node.value) in values
               for node in ast.walk(function))


def _is_local(function: FunctionNode, name: str) -> bool:
    declared = any(isinstance(node, ast.Global) and name in node.names for node in ast.walk(function))
    return not declared and any(_is_name(node, name) and isinstance(getattr(node, "ctx", None), ast.Store)
                                for node in ast.walk(function))


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _attribute(node: ast.AST, holder: str) -> str | None:
    """'a' of holder.a"""
    return node.attr if isinstance(node, ast.Attribute) and holder and _is_name(node.value, holder) else None


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
