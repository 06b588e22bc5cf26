"""The type parameters of new functions (3.12): their bounds, constraints and defaults are evaluated when somebody asks,
in the names of the class, of the functions around the original and of the patched module, as annotations are.

The scope that the compiler makes for them is compiled of the function's head alone, where the original lies. It runs
nothing of the program's: it makes the parameters with the functions that evaluate what belongs to them.
"""
from __future__ import annotations

import ast
import sys
from types import CodeType, FunctionType

from klpfs.cpython.images.image import ANNOTATIONS, TYPE_PARAMS
from klpfs.cpython.load.compiler_warnings import Unheard
from klpfs.cpython.load.name_rewriter import copied
from klpfs.cpython.load.scopes import mangle
from klpfs.cpython.raw import inner
from klpfs.cpython.resolve.around import CLASS_DICT, GENERIC, Around, all_names, own_scope, placed
from klpfs.cpython.resolve.definitions import not_replaceable
from klpfs.cpython.resolve.fingerprint import fingerprint
from klpfs.cpython.resolve.wrapping import strip, wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from klpfs.cpython.images.image import Image
    from klpfs.cpython.resolve.definitions import Definition
    from klpfs.cpython.resolve.linker import Link
    from klpfs.engine.log import Log


class TypeParams:
    """What makes the type parameters of each function object that gets the new code.

    names: as code has them. kept: they are the original's, each function object keeps what it has. shared: those of all
    function objects; None: each has its own, whose bounds or defaults use variables of its closure. in_body: the new
    code uses those that are shared.
    """

    __slots__ = ("names", "kept", "shared", "in_body", "_code", "_around", "_namespace", "_owner")

    def __init__(self, names: tuple[str, ...], code: CodeType, around: Around, namespace: dict[str, Any],
                 kept: bool) -> None:
        self.names, self._code, self._around, self._namespace, self.kept = names, code, around, namespace, kept
        self.shared: tuple[Any, ...] | None = None
        self.in_body = False
        self._owner = around.owner()
        if not kept and all(name == CLASS_DICT or name in around.parameters for name in code.co_freevars):
            self.shared = self._made(None, None)

    def of(self, original: Image, fn: FunctionType) -> tuple[Any, ...]:
        """The type parameters of a function object, `fn`. original: the Image of its original, whose parameters it
        keeps where the program has taken away what its variables could be read from."""
        if self.shared is not None and (self.in_body or CLASS_DICT not in self._code.co_freevars
                                        or self._around.owner() is self._owner):    # else it was loaded again
            return self.shared
        made = None if self.kept else self._made(original.values[ANNOTATIONS], fn)
        return original.values[TYPE_PARAMS] if made is None else made

    def _made(self, annotate: Any, fn: Any) -> tuple[Any, ...] | None:
        closure = self._around.cells(self._code, annotate, fn, {})
        if closure is None:
            return None
        scope: Any = FunctionType(self._code, self._namespace, None, None, closure or None)
        return scope().__type_params__      # type: ignore[no-any-return]


def names_of(node: Any, class_name: str | None) -> tuple[str, ...]:
    """Names of a function's own type parameters, as code has them."""
    return tuple([mangle(parameter.name, class_name) for parameter in getattr(node, "type_params", ())])


def type_params_of(node: Any, class_name: str | None, definition: Definition, link: Link, around: Around,
                   originals: list[Image], log: Log) -> TypeParams | None:
    """The TypeParams of a new function; None: it has no type parameters. node: its node in the file. link: of the file
    to the object. originals: the Images of the definition's function objects, as the program made them. KlpError
    EINVAL: a bound, constraint or default that uses a name of what lies around the original which the original's
    function objects do not hold."""
    names = names_of(node, class_name)
    if not names:
        return None
    head = copied(node)
    strip(head)
    head.args = ast.arguments(posonlyargs=[], args=[], vararg=None, kwonlyargs=[], kw_defaults=[], kwarg=None,
                              defaults=[])
    head.body = [ast.copy_location(ast.Pass(), node)]
    path = link.loaded.path
    try:
        module = ast.fix_missing_locations(wrapped(head, class_name, around.names))
        with Unheard():
            code = compile(module, path, "exec", flags=link.loaded.file.flags, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise not_replaceable(log, definition, f"{path}:{node.lineno}: {error}") from None
    code = _find(code)
    namespace = link.globals_for(all_names(code))
    kept = namespace is around.namespace and _are_the_originals(node, code, definition, originals)
    lacking = None if kept else around.lacking(code, "type parameters", ())
    if lacking is not None:
        raise not_replaceable(log, definition, lacking)
    return TypeParams(names, placed(code, code.co_name, definition.name), around, namespace, kept)


def _are_the_originals(node: Any, scope: CodeType, definition: Definition, originals: list[Image]) -> bool:
    """Whether the type parameters of a new function are those of its original, a function in a function: of the same
    kinds, with the same code for what belongs to them."""
    before = own_scope(definition)
    if before is None:
        return False
    for image in originals:
        if [(type(each).__name__, each.__name__, _has_default(each)) for each in image.values[TYPE_PARAMS]] != [
                (type(each).__name__, each.name, getattr(each, "default_value", None) is not None)
                for each in node.type_params]:
            return False
    parts = [code for code in inner(before) if code.co_name != "__annotate__" and id(code) not in definition.originals]
    return bool(originals) and list(map(fingerprint, parts)) == list(map(fingerprint, inner(scope)[:-1]))


def _has_default(parameter: Any) -> bool:
    return sys.version_info >= (3, 13) and parameter.has_default()


def _find(code: CodeType) -> CodeType:
    todo = [code]
    while todo:
        candidate = todo.pop()
        if candidate.co_name.startswith(GENERIC):
            return candidate
        todo += inner(candidate)
    raise AssertionError("no code of type parameters")
