"""What lies around a definition, between the function and its module: the names that its annotations, and the bounds,
constraints and defaults of its type parameters, may lead to, and where a function object has them.
"""
from __future__ import annotations

from types import CellType, CodeType, FunctionType

from klpfs.cpython.code_names import stores
from klpfs.cpython.images.image import ANNOTATIONS, TYPE_PARAMS, TYPED
from klpfs.cpython.load.scopes import mangle
from klpfs.cpython.raw import OPTIMIZED, class_at, inner, is_definition, type_dict
from klpfs.cpython.resolve.definitions import class_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from klpfs.cpython.images.image import Image
    from klpfs.cpython.resolve.definitions import Definition

    Originals = Callable[[Definition], list[Image]]

CLASS_DICT = "__classdict__"        # the compiler's name for the cell of a class's namespace
GENERIC = "<generic parameters of "


class Around:
    """What annotations and type parameters of a definition's new function may lead to between it and its module.

    originals: gives the Images of a Definition's function objects, as the program made them. names: variables and type
    parameters of the functions and classes around. closed: those that each function object of the original has a cell
    of, in its closure or in that of its annotations. parameters: {name: cell} of type parameters that are known without
    one. replaced: names of the original's own type parameters that its code uses.
    """

    __slots__ = ("definition", "namespace", "names", "closed", "parameters", "replaced", "_class_names")

    def __init__(self, definition: Definition, namespace: dict[str, Any], originals: Originals) -> None:
        self.definition, self.namespace = definition, namespace     # not `originals`: it holds the program's functions
        live = [image.values[ANNOTATIONS] for image in originals(definition)]
        closed = set(definition.code.co_freevars)
        annotates = [annotate.__code__ for annotate in live if self.is_own(annotate)]
        names: dict[str, None] = {}
        self.parameters: dict[str, CellType] = {}
        self._class_names: set[str] | None = None
        outermost = (definition.chain or [definition])[-1]
        path = outermost.name.split(".")
        for at in range(1, len(path)):
            self._know(type_dict(class_at(namespace, ".".join(path[:at])) or object).get("__type_params__", ()))
        if outermost is not definition:
            makers = originals(outermost)
            for image in makers:
                if len(makers) == 1:
                    self._know(_type_params(image))
                names.update(dict.fromkeys([each.__name__ for each in _type_params(image)]))
        names.update(dict.fromkeys(self.parameters))
        for part in [definition, *definition.chain]:
            if part.outer is None:
                break
            blocks = _blocks(part)
            if part is definition:
                annotates = _annotate_before(part, blocks[-1]) or annotates
                if blocks[-1].co_name.startswith(GENERIC):
                    blocks.pop()
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
        own = own_type_params(definition, originals)
        self.replaced = frozenset(own.intersection(definition.code.co_freevars))
        self.closed = closed - own
        names.update(dict.fromkeys(sorted(self.closed)))
        self.names = tuple([name for name in names if name.isidentifier() and name not in ("__class__", CLASS_DICT)])

    def owner(self) -> type | None:
        """The class that the definition lies in, None if it lies in none or that is not to be found."""
        return class_of(self.namespace, self.definition.name)

    def known(self) -> tuple[dict[str, Any], set[str]]:
        """({name: type parameter} of what lies around, names of it that have another value, or each closure its own);
        for annotations that are evaluated at once."""
        cls = self.owner()
        hidden = set(type_dict(cls)) if cls is not None else set()
        known = {name: cell.cell_contents for name, cell in self.parameters.items() if name not in hidden}
        return known, set(self.names).difference(known)

    def is_own(self, annotate: Any) -> bool:
        """Whether a function `__annotate__` is the one that the original's function objects are made with:
        functools.wraps puts another's there."""
        if type(annotate) is not FunctionType:
            return False
        code, original = annotate.__code__, self.definition.code
        inside = self.definition.name.rpartition(".")[0]        # 3.14 leaves the function's name out
        return (code.co_filename == original.co_filename and code.co_firstlineno >= original.co_firstlineno
                and code.co_qualname in (f"{self.definition.name}.__annotate__", f"{inside}.__annotate__".lstrip(".")))

    def cells(self, code: CodeType, original: Any, fn: FunctionType, own: Mapping[str, CellType]) -> \
            tuple[CellType, ...] | None:
        """The closure of a function with `code` for a function object, `fn`; None: the program has taken away what its
        variables could be read from. original: the function `__annotate__` of its original, or whatever is in its
        place. own: cells of the new function's own type parameters."""
        closures = {**_cells(fn), **(_cells(original) if self.is_own(original) else {})}
        known = {name: cell for name, cell in closures.items() if name in self.closed}
        known = {**self.parameters, **known, **own}
        if CLASS_DICT in code.co_freevars and CLASS_DICT not in known:
            cls = self.owner()
            known[CLASS_DICT] = CellType(vars(cls) if cls is not None else {})
        if any(name not in known for name in code.co_freevars):
            return None
        return tuple([known[name] for name in code.co_freevars])

    def lacking(self, code: CodeType, what: str, own: Iterable[str]) -> str | None:
        """Why the code of annotations or type parameters, `what`, would get a name wrong, or None. own: names of the
        new function's own type parameters."""
        for name in code.co_freevars:
            if name in own or name in self.closed or name in self.parameters:
                continue
            if name != CLASS_DICT:
                return f"its {what} use '{name}', a name of what lies around it that its closures do not have"
            if self._class_names is not None:       # a class in a function: what its block does not name is not its
                used = self._class_names.intersection(all_names(code))
                if used:
                    return (f"its {what} use '{min(used)}', a name of its class, which lies in a function and is "
                            "not to be found")
            elif self.owner() is None:
                return f"its class, whose names its {what} may use, is not to be found"
        return None

    def _know(self, parameters: Any) -> None:
        self.parameters.update({parameter.__name__: CellType(parameter) for parameter in parameters})


def own_type_params(definition: Definition, originals: Originals) -> set[str]:
    """Names of the original's own type parameters, as code has them."""
    if definition.outer is None:
        path = definition.name.split(".")
        return {mangle(parameter.__name__, path[-2] if len(path) > 1 else None)
                for image in originals(definition) for parameter in _type_params(image)}
    scope = own_scope(definition)
    if scope is None:
        return set()
    return {name for name in _variables(scope) if name not in scope.co_freevars and name.isidentifier()}


def own_scope(definition: Definition) -> CodeType | None:
    """The scope of the original's own type parameters, if it lies in a function and has any."""
    scope = _blocks(definition)[-1] if definition.outer is not None else None
    return scope if scope is not None and scope.co_name.startswith(GENERIC) else None


def _type_params(image: Image) -> tuple[Any, ...]:
    return image.values[TYPE_PARAMS] if TYPED else ()


def _cells(function: Any) -> dict[str, CellType]:
    if type(function) is not FunctionType:
        return {}
    return dict(zip(function.__code__.co_freevars, function.__closure__ or ()))


def _variables(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames + code.co_cellvars + code.co_freevars


def all_names(code: CodeType) -> set[str]:
    """Names that a code object and those in it look up, attributes included."""
    return {*code.co_names, *code.co_freevars}.union(*map(all_names, inner(code)))


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


def placed(code: CodeType, inside: str, name: str) -> CodeType:
    """What was compiled of a function's head, under the qualified names that it has where the function's is `name`.
    inside: its own in what surrounds it: 'f.__annotate__'."""
    return _placed(code, len(code.co_qualname) - len(inside), name[:-len(name.rpartition(".")[2])])


def _placed(code: CodeType, length: int, place: str) -> CodeType:
    return code.replace(co_qualname=place + code.co_qualname[length:], co_consts=tuple(
        _placed(const, length, place) if type(const) is CodeType else const for const in code.co_consts))
