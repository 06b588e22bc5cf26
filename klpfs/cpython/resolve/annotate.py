"""The annotations of new functions from 3.14 on, which are evaluated when somebody asks (PEP 649): each new function
gets a function `__annotate__` of its own, in the patched module's globals.

It is compiled as the compiler does, of the function's head alone, in a class and in a function as the original lies, so
that names lead where they lead in the program: to the class's, to variables of the functions around, to type
parameters. Whoever asks for VALUE, FORWARDREF or STRING gets what a module that was written so would give.
"""
from __future__ import annotations

import ast
from types import CellType, CodeType, FunctionType

from klpfs.cpython.load.compiler_warnings import Unheard
from klpfs.cpython.load.name_rewriter import OWN, Rewriter, copied, exchange
from klpfs.cpython.load.parse import parse
from klpfs.cpython.load.scopes import arguments
from klpfs.cpython.raw import inner
from klpfs.cpython.resolve.definitions import not_replaceable
from klpfs.cpython.resolve.wrapping import strip, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Optional

    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.resolve.definitions import Definition
    from klpfs.engine.log import Log

    Owner = Callable[[], Optional[type]]

_CLASS_DICT = "__classdict__"       # the compiler's name for the cell of a class's namespace


class Annotate:
    """What makes the function `__annotate__` of each function object that gets the new code.

    code: its code object. namespace: the patched module's. cells: {name: cell} of its free variables as far as they are
    the same for all function objects. owner: gives the function's class, or None.
    """

    __slots__ = ("code", "namespace", "cells", "owner")

    def __init__(self, code: CodeType, namespace: dict[str, Any], cells: dict[str, CellType], owner: Owner) -> None:
        self.code, self.namespace, self.cells, self.owner = code, namespace, cells, owner

    def function(self, original: Any, fn: FunctionType) -> FunctionType:
        """The function `__annotate__` for a function object, `fn`. original: that of its original. A variable that
        neither has is unbound: a NameError for whoever asks for its value."""
        cells = {**_cells(fn), **_cells(original), **self.cells}
        if _CLASS_DICT in self.code.co_freevars and _CLASS_DICT not in cells:
            cls = self.owner()
            cells[_CLASS_DICT] = CellType(vars(cls) if cls is not None else {})
        closure = tuple([cells.get(name) or CellType() for name in self.code.co_freevars])
        made = FunctionType(self.code, self.namespace, "__annotate__", None, closure or None)
        made.__module__ = fn.__module__
        return made


def annotate_of(new: FunctionType, node: Any, class_name: str | None, definition: Definition, loaded: LoadedModule,
                constants: Mapping[str, Any], namespace: dict[str, Any], owner: Owner,
                compiled: dict[Any, CodeType], log: Log) -> Annotate | None:
    """The Annotate of a new function; None: it has no annotations. node: its node in the file, where annotations are
    their texts (source_file.py). compiled: the codes of heads met before, one dict for each file and object. KlpError
    EINVAL: an annotation that the compiler does not take."""
    if not new.__annotations__:         # texts: reading them evaluates nothing of the program's
        return None
    free = _names_around(definition)
    key = (class_name, free, tuple([parameter.__name__ for parameter in _parameters(new)]), _text(node.returns),
           *[(argument.arg, _text(argument.annotation)) for argument in arguments(node)])
    code = compiled.get(key)
    if code is None:
        code = compiled[key] = _compiled(new, node, class_name, free, definition, loaded, constants, log)
    cells = {parameter.__name__: CellType(parameter) for parameter in _parameters(new)}
    code = code.replace(co_qualname=f"{definition.name}.__annotate__", co_firstlineno=node.lineno)
    return Annotate(code, namespace, cells, owner)


def _text(annotation: Any) -> Any:
    return annotation.value if annotation is not None else None


def _parameters(new: Any) -> tuple[Any, ...]:
    return new.__type_params__      # type: ignore[no-any-return]  # from 3.12 on


def _compiled(new: FunctionType, node: Any, class_name: str | None, free: tuple[str, ...], definition: Definition,
              loaded: LoadedModule, constants: Mapping[str, Any], log: Log) -> CodeType:
    head = copied(node)
    strip(head)
    parameters = _parameters(new)
    rewriter = Rewriter(lambda used, node: OWN if used in loaded.own else None, enclosing=(
        *free, *[parameter.__name__ for parameter in parameters]))
    rewriter.scopes.inside = 1
    if class_name is not None:
        rewriter.scopes.push_block(class_name)
    head.body = [ast.copy_location(ast.Pass(), node)]
    try:
        for argument, like in zip(arguments(head), arguments(node)):
            argument.annotation = _expression(like.annotation, rewriter)
        head.returns = _expression(node.returns, rewriter)
        module = ast.fix_missing_locations(wrapped(head, class_name, free))
        with Unheard():
            code = compile(module, loaded.path, "exec", flags=loaded.file.flags, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise not_replaceable(log, definition, f"{loaded.path}:{node.lineno}: {error}") from None
    return exchange(_find(code), dict(constants))


def _cells(function: Any) -> dict[str, CellType]:
    if type(function) is not FunctionType:
        return {}
    return dict(zip(function.__code__.co_freevars, function.__closure__ or ()))


def _names_around(definition: Definition) -> tuple[str, ...]:
    """The variables of the functions around a definition."""
    names = dict.fromkeys(definition.code.co_freevars)
    for outer in definition.chain:
        names.update(dict.fromkeys(outer.code.co_varnames + outer.code.co_cellvars + outer.code.co_freevars))
    return tuple([name for name in names if name.isidentifier() and name not in ("__class__", _CLASS_DICT)])


def _expression(annotation: Any, rewriter: Rewriter) -> Any:
    """The expression that a text is, rewritten, in its place."""
    if annotation is None:
        return None
    text = annotation.value
    starred = text.startswith("*")      # of *args: an annotation alone may be that
    parsed = parse(f"_[{text}]" if starred else f"({text})", mode="eval").body
    expression = rewriter.visit(parsed.slice.elts[0] if starred else parsed)
    for part in ast.walk(expression):
        if "lineno" in getattr(part, "_attributes", ()):
            ast.copy_location(part, annotation)
    return expression


def _find(code: CodeType) -> CodeType:
    todo = [code]
    while todo:
        candidate = todo.pop()
        if candidate.co_name == "__annotate__":
            return candidate
        todo += inner(candidate)
    raise AssertionError("no code of annotations")
