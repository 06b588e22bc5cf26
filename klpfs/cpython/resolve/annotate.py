"""The annotations of new functions from 3.14 on, which are evaluated when somebody asks (PEP 649): each new function
gets a function `__annotate__` of its own, in the patched module's globals, or, if it uses names of the livepatch file,
in globals that have these before the module's (file_first.py).

It is compiled as the compiler does, of the function's head alone, in a class and in a function as the original lies, so
that names lead where they lead in the program: to the class's, to variables of the functions around, to type
parameters. Whoever asks for VALUE, FORWARDREF or STRING gets what a module that was written so would give. A name of
what lies around that the original's function objects do not hold is refused, as it is in a function's body.
"""
from __future__ import annotations

import ast
import sys
from types import CellType, CodeType, FunctionType

from klpfs.cpython.load.compiler_warnings import Unheard
from klpfs.cpython.load.name_rewriter import copied
from klpfs.cpython.load.parse import parse
from klpfs.cpython.load.scopes import arguments
from klpfs.cpython.raw import inner
from klpfs.cpython.resolve.around import Around, all_names, placed
from klpfs.cpython.resolve.definitions import not_replaceable
from klpfs.cpython.resolve.type_params import names_of
from klpfs.cpython.resolve.wrapping import strip, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.cpython.load.loader import LoadedModule
    from klpfs.cpython.resolve.definitions import Definition
    from klpfs.cpython.resolve.linker import Link
    from klpfs.engine.log import Log


class Annotate:
    """What makes the function `__annotate__` of each function object that gets the new code.

    code: its code object. names: of the new function's own type parameters, as code has them. around: what lies around
    the original. namespace: its globals.
    """

    __slots__ = ("code", "names", "around", "namespace")

    def __init__(self, code: CodeType, names: tuple[str, ...], around: Around, namespace: dict[str, Any]) -> None:
        self.code, self.names, self.around, self.namespace = code, names, around, namespace

    def function(self, original: Any, fn: FunctionType, parameters: tuple[Any, ...] = ()) -> Any:
        """The function `__annotate__` for a function object, `fn`. original: that of its original, which `fn` keeps
        where the program has taken away what its variables could be read from. parameters: its type parameters."""
        closure = self.around.cells(self.code, original, fn, dict(zip(self.names, map(CellType, parameters))))
        if closure is None:
            return original
        made = FunctionType(self.code, self.namespace, "__annotate__", None, closure or None)
        made.__module__ = fn.__module__
        return made


def annotate_of(new: FunctionType, node: Any, class_name: str | None, definition: Definition, link: Link,
                around: Around, log: Log) -> Annotate | None:
    """The Annotate of a new function; None: it has no annotations. node: its node in the file, where annotations are
    their texts (source_file.py). link: of the file to the object. KlpError EINVAL: an annotation that the compiler does
    not take, or that uses a name of what lies around the original which the original's function objects do not
    hold."""
    if not new.__annotations__:         # texts: reading them evaluates nothing of the program's
        return None
    own = names_of(node, class_name)
    key = (class_name, definition.name.rpartition(".")[0], around.names, own, _text(node.returns),
           *[(argument.arg, _text(argument.annotation)) for argument in arguments(node)])
    code = link.annotations.get(key)
    if code is None:
        code = link.annotations[key] = _compiled(node, class_name, around.names, definition, link.loaded, log)
    lacking = around.lacking(code, "annotations", own)
    if lacking is not None:
        raise not_replaceable(log, definition, lacking)
    code = code.replace(co_qualname=f"{definition.name}.__annotate__", co_firstlineno=node.lineno)
    return Annotate(code, own, around, link.globals_for(all_names(code)))


def _text(annotation: Any) -> Any:
    return annotation.value if annotation is not None else None


def _compiled(node: Any, class_name: str | None, free: tuple[str, ...], definition: Definition, loaded: LoadedModule,
              log: Log) -> CodeType:
    head = copied(node)
    strip(head)
    head.body = [ast.copy_location(ast.Pass(), node)]
    try:
        for argument, like in zip(arguments(head), arguments(node)):
            argument.annotation = _expression(like.annotation)
        head.returns = _expression(node.returns)
        module = ast.fix_missing_locations(wrapped(head, class_name, free))
        with Unheard():
            code = compile(module, loaded.path, "exec", flags=loaded.file.flags, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise not_replaceable(log, definition, f"{loaded.path}:{node.lineno}: {error}") from None
    made = _find(code)
    inside = f"{node.name}.{made.co_name}" if sys.version_info >= (3, 15) else made.co_name    # see Around.is_own
    return placed(made, inside, definition.name)


def _expression(annotation: Any) -> Any:
    """The expression that a text is, in its place."""
    if annotation is None:
        return None
    text = annotation.value
    starred = text.startswith("*")      # of *args: an annotation alone may be that
    parsed = parse(f"_[{text}]" if starred else f"({text})", mode="eval").body
    expression = parsed.slice.elts[0] if starred else parsed
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
