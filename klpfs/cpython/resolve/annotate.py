"""The annotations of new functions from 3.14 on, which are evaluated when somebody asks (PEP 649): each new function
gets a function `__annotate__` of its own, in the patched module's globals.

It is compiled as the compiler does, of the function's head alone, in a class and in a function as the original lies, so
that names lead where they lead in the program: to the class's, to variables of the functions around, to type
parameters. Whoever asks for VALUE, FORWARDREF or STRING gets what a module that was written so would give. A name of
what lies around that the original's function objects do not hold is refused, as it is in a function's body.
"""
from __future__ import annotations

import ast
from types import CellType, CodeType, FunctionType

from klpfs.cpython.code_names import stores
from klpfs.cpython.load.compiler_warnings import Unheard
from klpfs.cpython.load.name_rewriter import OWN, Rewriter, copied, exchange
from klpfs.cpython.load.parse import parse
from klpfs.cpython.load.scopes import arguments
from klpfs.cpython.raw import OPTIMIZED, class_at, inner, is_definition, type_dict
from klpfs.cpython.resolve.definitions import class_of, not_replaceable
from klpfs.cpython.resolve.wrapping import strip, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.resolve.definitions import Definition
    from klpfs.engine.log import Log

    Functions = Callable[[Definition], list[FunctionType]]

_CLASS_DICT = "__classdict__"       # the compiler's name for the cell of a class's namespace
_GENERIC = "<generic parameters of "


class Annotate:
    """What makes the function `__annotate__` of each function object that gets the new code.

    code: its code object. namespace: the patched module's. cells: {name: cell} of its free variables as far as they are
    the same for all function objects. around: what lies around the original.
    """

    __slots__ = ("code", "namespace", "cells", "around")

    def __init__(self, code: CodeType, namespace: dict[str, Any], cells: dict[str, CellType], around: Around) -> None:
        self.code, self.namespace, self.cells, self.around = code, namespace, cells, around

    def function(self, original: Any, fn: FunctionType) -> Any:
        """The function `__annotate__` for a function object, `fn`. original: that of its original, which `fn` keeps
        where the program has taken away what its variables could be read from."""
        closures = {**_cells(fn), **(_cells(original) if self.around.is_own(original) else {})}
        cells = {name: cell for name, cell in closures.items() if name in self.around.closed}
        cells = {**self.around.parameters, **cells, **self.cells}
        if _CLASS_DICT in self.code.co_freevars and _CLASS_DICT not in cells:
            cls = self.around.owner()
            cells[_CLASS_DICT] = CellType(vars(cls) if cls is not None else {})
        if any(name not in cells for name in self.code.co_freevars):
            return original
        closure = tuple([cells[name] for name in self.code.co_freevars])
        made = FunctionType(self.code, self.namespace, "__annotate__", None, closure or None)
        made.__module__ = fn.__module__
        return made


def annotate_of(new: FunctionType, node: Any, class_name: str | None, definition: Definition, loaded: LoadedModule,
                constants: Mapping[str, Any], namespace: dict[str, Any], functions: Functions,
                compiled: dict[Any, CodeType], log: Log) -> Annotate | None:
    """The Annotate of a new function; None: it has no annotations. node: its node in the file, where annotations are
    their texts (source_file.py). functions: gives the live function objects of a Definition. compiled: the codes of
    heads met before, one dict for each file and object. KlpError EINVAL: an annotation that the compiler does not
    take, or that uses a name of what lies around the original which the original's function objects do not hold."""
    if not new.__annotations__:         # texts: reading them evaluates nothing of the program's
        return None
    around = Around(definition, namespace, functions)
    key = (class_name, around.names, tuple([parameter.__name__ for parameter in _parameters(new)]), _text(node.returns),
           *[(argument.arg, _text(argument.annotation)) for argument in arguments(node)])
    code = compiled.get(key)
    if code is None:
        code = compiled[key] = _compiled(new, node, class_name, around.names, definition, loaded, constants, log)
    cells = {parameter.__name__: CellType(parameter) for parameter in _parameters(new)}
    lacking = around.lacking(code, cells)
    if lacking is not None:
        raise not_replaceable(log, definition, lacking)
    code = code.replace(co_qualname=f"{definition.name}.__annotate__", co_firstlineno=node.lineno)
    return Annotate(code, namespace, cells, around)


class Around:
    """What annotations of a definition's new function may lead to between the function and its module.

    names: variables and type parameters of the functions and classes around. closed: those that each function object
    of the original has a cell of, in its closure or in that of its annotations. parameters: {name: cell} of type
    parameters that are known without one.
    """

    __slots__ = ("definition", "namespace", "names", "closed", "parameters", "_class_names")

    def __init__(self, definition: Definition, namespace: dict[str, Any], functions: Functions) -> None:
        self.definition, self.namespace = definition, namespace
        live = [fn for fn in functions(definition) if id(fn.__code__) in definition.originals]
        closed = set(definition.code.co_freevars)
        annotates = [fn.__annotate__.__code__ for fn in live if self.is_own(fn.__annotate__)]  # type: ignore[attr-defined]
        names: dict[str, None] = {}
        self.parameters: dict[str, CellType] = {}
        self._class_names: set[str] | None = None
        outermost = (definition.chain or [definition])[-1]
        path = outermost.name.split(".")
        for at in range(1, len(path)):
            self._know(type_dict(class_at(namespace, ".".join(path[:at])) or object).get("__type_params__", ()))
        if outermost is not definition:
            makers = [fn for fn in functions(outermost) if id(fn.__code__) in outermost.originals]
            for fn in makers:
                if len(makers) == 1:
                    self._know(fn.__type_params__)      # type: ignore[attr-defined]
                names.update(dict.fromkeys([each.__name__ for each in fn.__type_params__]))  # type: ignore[attr-defined]
        names.update(dict.fromkeys(self.parameters))
        own = {parameter.__name__ for fn in live for parameter in fn.__type_params__}     # type: ignore[attr-defined]
        for part in [definition, *definition.chain]:
            if part.outer is None:
                break
            blocks = _blocks(part)
            if part is definition:
                annotates = _annotate_before(part, blocks[-1]) or annotates
                if blocks[-1].co_name.startswith(_GENERIC):
                    scope = blocks.pop()
                    own.update(name for name in _variables(scope) if name not in scope.co_freevars)
                if not blocks[-1].co_flags & OPTIMIZED:
                    self._class_names = stores(blocks[-1])
            for block in blocks:
                visible = _variables(block) if block.co_flags & OPTIMIZED else block.co_freevars
                names.update(dict.fromkeys(visible))
                for name in visible:
                    if name not in block.co_freevars:
                        self.parameters.pop(name, None)         # a nearer variable of that name hides it
        for code in annotates:
            closed.update(code.co_freevars)
        self.closed = closed - own
        names.update(dict.fromkeys(sorted(self.closed)))
        self.names = tuple([name for name in names if name.isidentifier() and name not in ("__class__", _CLASS_DICT)])

    def owner(self) -> type | None:
        """The class that the definition lies in, None if it lies in none or that is not to be found."""
        return class_of(self.namespace, self.definition.name)

    def is_own(self, annotate: Any) -> bool:
        """Whether a function `__annotate__` is the one that the original's function objects are made with:
        functools.wraps puts another's there."""
        if type(annotate) is not FunctionType:
            return False
        code, original = annotate.__code__, self.definition.code
        inside = self.definition.name.rpartition(".")[0]        # 3.14 leaves the function's name out
        return (code.co_filename == original.co_filename and code.co_firstlineno >= original.co_firstlineno
                and code.co_qualname in (f"{self.definition.name}.__annotate__", f"{inside}.__annotate__".lstrip(".")))

    def lacking(self, code: CodeType, cells: Mapping[str, CellType]) -> str | None:
        """Why the code of annotations would get a name wrong, or None. cells: of the new function's own type
        parameters."""
        for name in code.co_freevars:
            if name in cells or name in self.closed or name in self.parameters:
                continue
            if name != _CLASS_DICT:
                return f"its annotations use '{name}', a name of what lies around it that its closures do not have"
            if self._class_names is not None:       # a class in a function: what its block does not name is not its
                used = self._class_names.intersection(_all_names(code))
                if used:
                    return (f"its annotations use '{min(used)}', a name of its class, which lies in a function and is "
                            "not to be found")
            elif self.owner() is None:
                return "its class, whose names its annotations may use, is not to be found"
        return None

    def _know(self, parameters: Any) -> None:
        self.parameters.update({parameter.__name__: CellType(parameter) for parameter in parameters})


def _variables(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames + code.co_cellvars + code.co_freevars


def _all_names(code: CodeType) -> set[str]:
    return {*code.co_names, *code.co_freevars}.union(*map(_all_names, inner(code)))


def _blocks(definition: Definition) -> list[CodeType]:
    """The code objects around a definition's, from that of the function around it: blocks of classes, scopes of type
    parameters."""
    def below(code: CodeType) -> list[CodeType] | None:
        for part in inner(code):
            if id(part) in definition.originals:
                return [code]
            found = None if is_definition(part) else below(part)
            if found is not None:
                return [code, *found]
        return None
    assert definition.outer is not None
    for code in definition.outer.originals.values():
        found = below(code)
        if found is not None:
            return found
    return [definition.outer.code]


def _annotate_before(definition: Definition, block: CodeType) -> list[CodeType]:
    """[the code of the original's annotations], which the compiler puts right before the function's own; else []."""
    codes = inner(block)
    for before, code in zip(codes, codes[1:]):
        if id(code) in definition.originals and before.co_name == "__annotate__" and (
                before.co_firstlineno >= code.co_firstlineno):
            return [before]
    return []


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
