"""Where a package keeps what it has computed from values that a release changes.

Found by how a cache is written: an attribute that a function makes when it is not there yet, a table that a function looks
into and puts its result into, functools.lru_cache. What goes into one is what its function reads, itself or in methods and
functions of its module that it calls.
"""
import ast
import typing

from attrs import define, field

from klpfs.builder.compare.equivalence import decorator_name, FUNCTIONS

SIGNS = (b"lru_cache", b"functools.cache", b"__dict__", b"hasattr", b"is None", b"AttributeError", b".get(", b"KeyError")
_LRU = ("lru_cache", "cache", "functools.lru_cache", "functools.cache")


@define
class Cache:
    """text: as cpython/import_time/caches.py names it. reads: names of globals and attributes that it may be made of; any: any
    attribute of its class. making, me: the statements that make it, and the name that they have for its holder, where a
    constructor does it: nobody would make it again for objects that are there."""

    text: str
    reads: "set[str]"
    any: bool = False
    making: list = field(factory=list)
    me: str = ""


@define
class _Reads:
    names: "set[str]" = field(factory=set)
    calls: "set[str]" = field(factory=set)
    any: bool = False


def caches_of(name: str, tree: ast.Module) -> "list[Cache]":
    """All caches of a module. name: dotted."""
    functions: "dict[str, list[_Reads]]" = {}
    places = []
    for owner, node in _functions(tree.body, ""):
        functions.setdefault(node.name, []).append(_reads(node))
        places.append((owner, node))
    found = []
    for owner, node in places:
        for text in _caches_in(owner, node):
            names, anything = _reach(node.name, functions)
            found.append(Cache(f"{name}:{text}", names, anything, *_making(node, text)))
    return found


def _making(node, text: str) -> "tuple[list, str]":
    if node.name not in ("__call__", "__new__") or text.endswith(")"):
        return [], ""
    me, name = (node.args.posonlyargs + node.args.args)[0].arg, text.rpartition(".")[2].partition("=")[0]
    for each in ast.walk(node):
        if isinstance(each, ast.If) and any(_test(one, me, name) is not None for one in ast.walk(each.test)):
            return each.body, me
    return [], ""


def _functions(body: list, owner: str) -> "typing.Iterator[tuple[str, ast.AST]]":
    for each in body:
        if isinstance(each, FUNCTIONS):
            yield owner, each
        elif isinstance(each, ast.ClassDef):
            yield from _functions(each.body, f"{owner}.{each.name}" if owner else each.name)
        elif isinstance(each, (ast.If, ast.Try, ast.With)):
            for name in ("body", "orelse", "finalbody"):
                yield from _functions(getattr(each, name, []), owner)


def _reads(node) -> _Reads:
    found = _Reads()
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
            found.names.add(each.id)
        elif isinstance(each, ast.Attribute):
            found.names.add(each.attr)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value.isidentifier():
            found.names.add(each.value)
        if isinstance(each, ast.Call):
            name = getattr(each.func, "attr", getattr(each.func, "id", None))
            if name == "getattr" and len(each.args) > 1 and not isinstance(each.args[1], ast.Constant):
                found.any = True
            elif name:
                found.calls.add(name)
    return found


def _reach(name: str, functions: "dict[str, list[_Reads]]") -> "tuple[set[str], bool]":
    names, anything, seen, todo = set(), False, set(), [name]
    while todo:
        each = todo.pop()
        if each in seen:
            continue
        seen.add(each)
        for one in functions.get(each, ()):
            names |= one.names
            anything = anything or one.any
            todo += one.calls
    return names, anything


def _caches_in(owner: str, node) -> "typing.Iterator[str]":
    whole = f"{owner}.{node.name}" if owner else node.name
    if any(decorator_name(each) in _LRU for each in node.decorator_list):
        yield f"{whole}()"
    me = (node.args.posonlyargs + node.args.args)[:1]
    if owner and me and node.name not in ("__init__", "__new__"):
        yield from _lazy(owner, node, me[0].arg)
    yield from _memos(owner, node, me[0].arg if owner and me else None)


def _lazy(owner: str, node, me: str) -> "typing.Iterator[str]":
    stored = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
              and _is(each.value, me)}
    for name in sorted(stored):
        for each in ast.walk(node):
            how = _test(each, me, name)
            if how is not None:
                yield f"{owner}.{name}{how}"
                break


def _test(node, me: str, name: str) -> typing.Optional[str]:
    """How a function finds that the attribute was not made yet: '' by its absence, '=None'."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        if isinstance(node.ops[0], (ast.In, ast.NotIn)) and _text(node.left) == name and (
                getattr(node.comparators[0], "attr", None) == "__dict__" or getattr(getattr(node.comparators[0], "func", None), "id", "") == "vars"):
            return ""
        if isinstance(node.ops[0], (ast.Is, ast.IsNot)) and _attribute(node.left, me) == name and (
                isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value is None):
            return "=None"
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hasattr" and len(node.args) == 2 and (
            _is(node.args[0], me) and _text(node.args[1]) == name):
        return ""
    if isinstance(node, ast.Try) and any(getattr(each.type, "id", "") == "AttributeError" for each in node.handlers):
        if any(_attribute(each, me) == name and isinstance(each.ctx, ast.Load) for one in node.body for each in ast.walk(one)
               if isinstance(each, ast.Attribute)):
            return ""
    return None


def _memos(owner: str, node, me: typing.Optional[str]) -> "typing.Iterator[str]":
    given = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
    for each in ast.walk(node):
        if not isinstance(each, ast.Assign) or (isinstance(each.value, ast.Name) and each.value.id in given):
            continue
        if isinstance(each.value, ast.Constant):
            continue
        for target in each.targets:
            if not isinstance(target, ast.Subscript):
                continue
            table = target.value
            if _looked_into(node, table) and _gives_back(node, each):
                name = _attribute(table, me) if me else None
                if name:
                    yield f"{owner}.{name}{{}}"
                elif isinstance(table, ast.Name) and table.id not in given and not _local(node, table.id):
                    yield f"{table.id}{{}}"


def _looked_into(node, table) -> bool:
    text = ast.dump(table)
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and getattr(each.func, "attr", "") == "get" and _same(each.func.value, text):
            return True
        if isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Load) and _same(each.value, text):
            return True
    return False


def _same(node, text: str) -> bool:
    return ast.dump(node) == text


def _gives_back(node, store: ast.Assign) -> bool:
    """What the function puts into the table is what it returns."""
    values = {ast.dump(store.value).replace("Store()", "Load()")}
    values |= {ast.dump(each).replace("Store()", "Load()") for each in store.targets}
    return any(isinstance(each, ast.Return) and each.value is not None and ast.dump(each.value) in values for each in ast.walk(node))


def _local(node, name: str) -> bool:
    declared = any(isinstance(each, ast.Global) and name in each.names for each in ast.walk(node))
    return not declared and any(isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Store) for each in ast.walk(node))


def _is(node, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _attribute(node, me: typing.Optional[str]) -> typing.Optional[str]:
    return node.attr if isinstance(node, ast.Attribute) and me is not None and _is(node.value, me) else None


def _text(node) -> typing.Optional[str]:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def concerned(caches: "list[Cache]", data: "set[str]", functions: "set[str]", attributes: bool) -> "list[Cache]":
    """The caches that hold what was made of changed values, or by changed functions (lru_cache alone: there it is
    said that calling again does no harm). attributes: class attributes are among what changed."""
    found: "dict[str, Cache]" = {}
    for each in caches:
        by_function = each.text.endswith("()") and each.reads & functions
        if each.reads & data or each.any and attributes or by_function:
            found.setdefault(each.text, each)
    return list(found.values())


def computed_by(tree: ast.Module, node: ast.AST, functions: "set[str]") -> bool:
    """Whether a statement of a module's top level calls one of these functions, itself or through others of the module."""
    table: "dict[str, list[_Reads]]" = {}
    for owner, each in _functions(tree.body, ""):
        if not owner:
            table.setdefault(each.name, []).append(_reads(each))
    todo, seen = [each.func.id for each in ast.walk(node) if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)], set()
    while todo:
        name = todo.pop()
        if name in functions:
            return True
        if name not in seen:
            seen.add(name)
            todo += [one for each in table.get(name, ()) for one in each.calls if one in table or one in functions]
    return False
