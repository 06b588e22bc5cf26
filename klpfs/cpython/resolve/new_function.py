"""New functions: from the node in a livepatch file to the code that runs in place of a definition.

Each is compiled alone, so that its free variables are exactly the original's (the live closures stay as they are), its
private names are mangled as the real class does, and its lines are the livepatch file's.
"""
from __future__ import annotations
import __future__ as future

import ast
import sys
from types import CodeType, FunctionType

from klpfs.cpython.code_names import globals_of
from klpfs.cpython.load.compiler_warnings import Unheard
from klpfs.cpython.load.name_rewriter import (
    CLASS,
    OWN,
    TYPES,
    TYPES_AROUND,
    Rewriter,
    Unrewritable,
    copied,
    exchange,
)
from klpfs.cpython.load.parse import parse
from klpfs.cpython.load.scopes import nonlocals
from klpfs.cpython.raw import ITERABLE_COROUTINE, NESTED, SUSPENDS, VARARGS, VARKEYWORDS, inner, is_definition
from klpfs.cpython.resolve.codes import flavour
from klpfs.cpython.resolve.definitions import not_replaceable
from klpfs.cpython.resolve.linker import View
from klpfs.cpython.resolve.wrapping import OUTER, strip, wrapped
from klpfs.engine.log import pr_warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any, Optional

    from klpfs.cpython.images.image import Image
    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.load.name_rewriter import Choose
    from klpfs.cpython.load.scopes import Function
    from klpfs.cpython.resolve.annotate import Annotate
    from klpfs.cpython.resolve.around import Around
    from klpfs.cpython.resolve.definitions import Definition
    from klpfs.cpython.resolve.type_params import TypeParams
    from klpfs.engine.error import KlpError
    from klpfs.engine.log import Log

    Settle = Callable[[Image], tuple[Optional[tuple[Any, ...]], Optional[dict[str, Any]]]]

_ANNOTATIONS = future.annotations.compiler_flag


class NewCode:
    """The new code of a Func's definition, its `new_code`: the same for all function objects, but for closures.

    code: code object; None for a nop. keeps_defaults: each function object keeps its own. defaults, kwdefaults, doc,
    type_params: a TypeParams, or None. annotations: a dict, an Annotate (from 3.14 on), or None. settle: None, or a
    function that gives (defaults, kwdefaults) for a function object whose original is this Image; called once the
    pre_patch callbacks have run, KlpError EINVAL.
    """

    __slots__ = ("definition", "code", "defaults", "kwdefaults", "keeps_defaults", "annotations", "doc", "type_params",
                 "settle")

    def __init__(self, definition: Definition, code: CodeType | None = None) -> None:
        self.definition, self.code = definition, code
        self.defaults: tuple[Any, ...] | None = None
        self.kwdefaults: dict[str, Any] | None = None
        self.annotations: dict[str, Any] | Annotate | None = None
        self.doc: str | None = None
        self.type_params: TypeParams | None = None
        self.keeps_defaults = False
        self.settle: Settle | None = None


def as_in_file(code: CodeType, node: Function, blocks: tuple[str, ...], class_name: str | None, definition: Definition,
               plain: Callable[[str], bool], log: Log) -> CodeType | None:
    """The code object of a new function, made of what it has in its file, `code`, where compiling it alone would give
    the same; None: it has to be compiled alone (which takes ten times as long).

    blocks: names of the class blocks around the function. plain(name): whether a global name is the patched module's.
    """
    own = ".".join(blocks + (code.co_name,))
    if (code.co_freevars or definition.code.co_freevars or isinstance(node, ast.Lambda)
            or class_name != (blocks[-1] if blocks else None) or getattr(code, "co_qualname", own) != own
            or not all(map(plain, globals_of(code)))):
        return None
    return _finished(exchange(code, {}), own, definition, log)


def compile_function(node: Function, class_name: str | None, definition: Definition,
                     choose: Choose, constants: dict[str, Any], path: str, flags: int, log: Log,
                     owner: Callable[[], type | None] | None = None, type_params: TypeParams | None = None,
                     replaced: Collection[str] = (), known: Mapping[str, Any] | None = None) -> CodeType:
    """The code object of a new function for `definition`.

    node: not changed. class_name: the real class when it was written in a class block, else None. choose: as
    Rewriter's. constants: marker -> object. flags: of the file's future statements. owner: function that gives the real
    class, called when the new code needs it and no cell has it. type_params: its own. replaced: names of the
    original's own type parameters. known: type parameters of what lies around it. KlpError EINVAL.
    """
    free = definition.code.co_freevars

    def refused(why: str) -> KlpError:
        return not_replaceable(log, definition, why)
    new = copied(node)
    strip(new)
    for name in free:
        if not name.isidentifier():
            raise refused(f"it has the free variable '{name}'")
    rebound = nonlocals(new)
    own = type_params.names if type_params is not None else ()
    if type_params is not None and type_params.kept:
        own, replaced = tuple([name for name in own if name not in free]), ()   # the others are in the closures
    for name in sorted(rebound.intersection([*own, *replaced])):
        raise refused(f"it declares the type parameter '{name}' nonlocal")
    for parameter in getattr(new, "type_params", ()):
        for field in ("bound", "default_value"):
            if hasattr(parameter, field):
                setattr(parameter, field, None)
    for name in sorted(rebound - set(free)):
        raise refused(f"its closures have no variable '{name}', which it declares nonlocal")
    rewriter = Rewriter(choose, bool(flags & _ANNOTATIONS), "__class__" in free or class_name is None, free)
    if class_name is not None:
        rewriter.scopes.push_block(class_name)
    around = {name: value for name, value in (known or {}).items() if name not in free}
    rewriter.enclose(around, TYPES_AROUND)
    rewriter.enclose(replaced, None)
    rewriter.enclose(own, TYPES)
    try:
        new = rewriter.function(new)
    except Unrewritable as error:
        raise refused(f"{path}:{error.node.lineno}: {error.text}") from None
    _force(new, [name for name in free if name not in rebound])
    with Unheard():
        code = _find(compile(wrapped(new, class_name, free), path, "exec", flags=flags, dont_inherit=True), new)
    for name in sorted(set(code.co_freevars) - set(free)):
        raise refused(f"its closures have no variable '{name}'")
    if code.co_freevars != free:
        raise refused("its free variables are not the original's")
    if _has(code, CLASS):
        cls = owner() if owner is not None else None
        if cls is None:
            raise refused("its class, for super() or __class__, is not to be found")
        constants = dict(constants, **{CLASS: cls})
    if type_params is not None and _has(code, TYPES):
        if type_params.shared is None:
            raise refused("its body uses its type parameters, which each of its function objects has for itself: their "
                          "bounds, constraints or defaults use variables of the functions around it")
        type_params.in_body = True
        constants = dict(constants, **{TYPES: View(dict(zip(type_params.names, type_params.shared)))})
    if around:
        constants = dict(constants, **{TYPES_AROUND: View(around)})
    return _finished(exchange(code, constants), _own_name(new, class_name, free), definition, log)


def _finished(code: CodeType, own: str, definition: Definition, log: Log) -> CodeType:
    """`code`, compiled under the qualified name `own`, with the original's names and flags."""
    original = definition.code
    if (code.co_flags ^ original.co_flags) & SUSPENDS:
        raise not_replaceable(log, definition, f"it is a {flavour(original)}, what replaces it a {flavour(code)}")
    taken = ITERABLE_COROUTINE | NESTED     # types.coroutine marks the code itself; we may have compiled it nested
    flags = code.co_flags & ~taken | original.co_flags & taken
    return renamed(code, own, original, definition.name, flags)


def _force(node: Any, free: list[str]) -> None:
    """Makes names free variables of the function, without any effect when it runs and without moving its lines."""
    if not free:
        return
    names = ast.Tuple([ast.Name(name, ast.Load()) for name in free], ast.Load())
    if isinstance(node, ast.Lambda):
        node.body = ast.IfExp(ast.Constant(True), node.body, names)
        _place(node.body, node)
        return
    at = 1 if ast.get_docstring(node, clean=False) is not None else 0
    here = node.body[at] if at < len(node.body) else node.body[-1]
    statement = ast.If(ast.Constant(False), [ast.Expr(names)], [])
    for part in ast.walk(statement):
        _place(part, here)
    node.body.insert(at, statement)


def _place(node: ast.AST, like: Any) -> None:
    """Gives the nodes below `node` that have no place the first line and column of the node `like`."""
    for part in ast.walk(node):
        if not hasattr(part, "lineno") and "lineno" in getattr(part, "_attributes", ()):
            part.lineno = part.end_lineno = like.lineno  # type: ignore[attr-defined]
            part.col_offset = part.end_col_offset = like.col_offset  # type: ignore[attr-defined]


def _find(code: CodeType, node: Any) -> CodeType:
    """The function's own code in the wrapping's."""
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    wrapping = inner(code)[0]
    todo = inner(wrapping)
    while todo:
        candidate = todo.pop(0)
        if is_definition(candidate) and candidate.co_name == name:
            return candidate
        todo[:0] = inner(candidate)
    raise AssertionError(f"no code of '{name}'")


def _has(code: CodeType, marker: str) -> bool:
    return any(type(const) is str and const == marker or type(const) is CodeType and _has(const, marker)
               for const in code.co_consts)


def renamed(code: CodeType, own: str, original: CodeType, name: str, flags: int) -> CodeType:
    """`code`, compiled under the qualified name `own`, with the original's names, and what is nested in it
    accordingly."""
    if own != name:
        if sys.version_info >= (3, 11):
            code = _prefixed(code, own, name)
        else:
            code = _prefixed_constants(code, own + ".<locals>.", name + ".<locals>.")
    if code.co_name == original.co_name and code.co_flags == flags:
        return code
    return code.replace(co_name=original.co_name, co_flags=flags)


def _own_name(node: Any, class_name: str | None, free: tuple[str, ...]) -> str:
    """The qualified name that the wrapped function is compiled with."""
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    first = class_name or name
    whole = name if class_name is None else f"{class_name}.{name}"
    return whole if first != "<lambda>" and first not in free else f"{OUTER}.<locals>.{whole}"


def _prefixed(code: Any, old: str, new: str) -> CodeType:
    """A code, and the code in it, under qualified names that begin with `new` in place of `old`."""
    name = code.co_qualname
    if name == old or name.startswith(old + "."):
        name = new + name[len(old):]
    prefixed: CodeType = code.replace(co_qualname=name, co_consts=tuple(
        _prefixed(const, old, new) if type(const) is CodeType else const for const in code.co_consts))
    return prefixed


def _prefixed_constants(code: CodeType, old: str, new: str) -> CodeType:
    """_prefixed before 3.11, where qualified names are constants."""
    def constant(const: Any) -> Any:
        if type(const) is CodeType:
            return _prefixed_constants(const, old, new)
        return new + const[len(old):] if type(const) is str and const.startswith(old) else const
    return code.replace(co_consts=tuple(constant(const) for const in code.co_consts))


def warn_signature(definition: Definition, code: CodeType, log: Log) -> None:
    """Logs a line when callers of the original may not fit the new function's parameters."""
    if _parameters(definition.code) != _parameters(code):
        pr_warn(log, f"{definition.title} takes other parameters than what it replaces")


def _parameters(code: CodeType) -> tuple[Any, ...]:
    variable = code.co_flags & (VARARGS | VARKEYWORDS)
    count = code.co_argcount + code.co_kwonlyargcount + bool(variable & VARARGS) + bool(variable & VARKEYWORDS)
    return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, variable, code.co_varnames[:count]


def are_postponed(loaded: LoadedModule, definition: Definition) -> bool:
    """Whether the file or the original's has `from __future__ import annotations`: then annotations are text."""
    return bool((loaded.file.flags | definition.code.co_flags) & _ANNOTATIONS)


def annotations_of(new: FunctionType, definition: Definition, loaded: LoadedModule, constants: dict[str, Any],
                   namespace: dict[str, Any], compiled: dict[Any, CodeType], around: Around | None,
                   type_params: TypeParams | None) -> dict[str, Any]:
    """The annotations of a new function, evaluated in the patched module; what can't be evaluated yet stays text.

    compiled: the code of annotations met before, by their text, one dict for each file and object: most functions share
    theirs. around: what lies around the original, None: only the module. Its type parameters and the new function's
    own, type_params, are known; what uses other variables of it stays text. Where they are postponed, all are text.
    """
    texts = new.__annotations__
    if are_postponed(loaded, definition):
        return dict(texts)
    known, unknown = around.known() if around is not None else ({}, set())
    if type_params is not None:
        known.update(zip(type_params.names, type_params.shared or ()))
        unknown = unknown.difference(known).union(() if type_params.shared else type_params.names)
    values = {}
    for name, text in texts.items():
        values[name] = text
        try:
            key = text, tuple(known), tuple(sorted(unknown))
            code = compiled.get(key)
            if code is None:
                rewriter = Rewriter(lambda used, node: OWN if used in loaded.own else None, enclosing=known)
                rewriter.enclose(unknown, None)
                rewriter.scopes.inside = 1
                body = rewriter.visit(parse(text, mode="eval").body)
                if known:
                    parameters = ast.arguments(posonlyargs=[], args=[ast.arg(each) for each in known], vararg=None,
                                               kwonlyargs=[], kw_defaults=[], kwarg=None, defaults=[])
                    body = ast.Lambda(parameters, body)
                with Unheard():
                    code = compile(ast.fix_missing_locations(ast.Expression(body)), loaded.path, "eval",
                                   dont_inherit=True)
                code = compiled[key] = exchange(code, constants)
            value = eval(code, namespace)
            values[name] = value(*known.values()) if known else value
        except Exception:
            continue
    return values
