"""A livepatch file as text: its tree, its code objects, the node of each function in it.

Nothing here runs the file; loader.py does.
"""
from __future__ import annotations
import __future__ as future

import ast
import re
import sys
from types import CodeType

from klpfs.cpython.load.compiler_warnings import Unheard, lines
from klpfs.cpython.load.known_syntax import unknown_in
from klpfs.cpython.load.name_rewriter import Nonlocals, copied, reads_namespace
from klpfs.cpython.load.parse import parse
from klpfs.cpython.load.scopes import arguments
from klpfs.cpython.raw import first_line, inner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Callable, Optional

    Breathe = Optional[Callable[[], None]]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
ANNOTATIONS = future.annotations.compiler_flag
_LAZY = sys.version_info >= (3, 14)


class File:
    """A parsed file. SyntaxError or ValueError when it does not parse, or is of syntax that klpfs does not know.

    codes: its code objects, to be run once, one after the other: a large file is parsed and compiled in slices, so that
    the program gets on in between (breathe: a function that lets it, or None). flags: of its future statements. tree:
    as parsed, but that annotations of undecorated functions are their text: nothing of the patched module is evaluated
    when the file is run. nonlocals: (name, line) of the functions that are for closures only, as Nonlocals found them.
    warnings: 'LINE: WORDS' for what the compiler warns of. The tree and what is made of it are let go by `forget` and
    made anew when they are needed: the tree of a large file is the larger part of what a patch costs the program's
    memory, and each of its garbage collections.
    """

    __slots__ = ("path", "text", "flags", "codes", "nonlocals", "warnings", "_breathe", "_tree", "_nodes")

    def __init__(self, source: bytes, path: str, breathe: Breathe = None) -> None:
        """path: as tracebacks show it."""
        import io
        import tokenize
        self.path, self._breathe = path, breathe
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        self.text = io.TextIOWrapper(io.BytesIO(source), encoding, newline=None).read()
        with Unheard() as unheard:
            self._make()
        self.warnings = lines(unheard.words, self._again)

    def _again(self) -> None:
        parse(self.text, self.path)
        self._compile(self.tree.body)

    def _make(self) -> None:
        self._tree: ast.Module | None = _parsed(self.text, self.path, self._breathe)
        _check_syntax(self._tree, self.path)
        self.flags = 0
        for node in self._tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                for alias in node.names:
                    self.flags |= getattr(future, alias.name).compiler_flag
        if not self.flags & ANNOTATIONS:
            _make_annotations_text(self._tree)
        self.codes = self._compile(self._tree.body)
        self._nodes: dict[tuple[str, int], list[tuple[Any, tuple[str, ...]]]] | None = None

    @property
    def tree(self) -> ast.Module:
        if self._tree is None:
            self._tree = _parsed(self.text, self.path, self._breathe)
            if not self.flags & ANNOTATIONS:
                _make_annotations_text(self._tree)
        return self._tree

    def forget(self) -> None:
        """Lets go of the tree. Whoever holds nodes of it has to let go of them, too: the next tree has other nodes."""
        self._tree = self._nodes = None

    def _compile(self, body: list[ast.stmt]) -> list[CodeType]:
        rewriter = Nonlocals()
        codes: list[CodeType] = []
        for statements in _slices(body):
            if codes and self._breathe is not None:
                self._breathe()
            module = ast.Module(body=statements, type_ignores=[])
            if "nonlocal" in self.text:
                module = rewriter.visit(copied(module))
            with Unheard():
                codes.append(compile(module, self.path, "exec", flags=self.flags, dont_inherit=True))
        self.nonlocals = {(node.name, node.lineno) for node in rewriter.functions}
        return codes

    def recompiled(self, body: list[ast.stmt]) -> Iterator[tuple[CodeType, CodeType]]:
        """Compiles statements that take the places of the file's own. Yields (code as the file has it, its new
        code)."""
        for old, new in zip(self.codes, self._compile(body)):
            yield from code_pairs(old, new)

    def node_of(self, code: CodeType) -> tuple[Any, tuple[str, ...]] | None:
        """(node, names of the class blocks around it) of a function's code; None: not of this file, or not to be told
        apart from another of its line; a function in a function is of its encloser, not of the file: None too."""
        if self._nodes is None:
            self._nodes = {}
            _collect(self.tree.body, (), self._nodes)
        found = self._nodes.get((code.co_name, code.co_firstlineno), ())
        if code.co_filename != self.path or len(found) != 1:
            return None
        return found[0]


_LONG = 4000        # characters of a slice, a millisecond of parsing
_MANY = 20          # statements of a slice
_MOST = 64          # slices of a text: the parser counts all the lines above each
_BEGINS = re.compile(r"(?<=\n)(?:[ \t]+[^\n]*\n\n*)(?=def |class |async def )")


def _parsed(text: str, path: str, breathe: Breathe) -> ast.Module:
    """The tree of a text, as ast.parse gives it, made in slices. A text is cut where a definition begins behind an
    indented line: inside of a string, brackets or a statement that is continued, the slice before it would not
    parse."""
    size, at, line = max(_LONG, len(text) // _MOST), 0, 0
    body: list[ast.stmt] = []
    try:
        while at < len(text):
            if at and breathe is not None:
                breathe()
            cut = _BEGINS.search(text, at + size)
            end = cut.end() if cut else len(text)
            body += parse("\n" * line + text[at:end], path).body
            line += text.count("\n", at, end)
            at = end
    except (SyntaxError, ValueError):
        body = parse(text, path).body   # it says what is wrong; or it was no place to cut
    return ast.Module(body=body, type_ignores=[])


def _check_syntax(tree: ast.Module, path: str) -> None:
    """SyntaxError where klpfs does not know what a piece of syntax means to names."""
    unknown = unknown_in(tree)
    if unknown is not None:
        line, words = unknown
        raise SyntaxError(words, (path, line, None, None))


def _slices(body: list[ast.stmt]) -> list[list[ast.stmt]]:
    """The statements in parts that may be compiled one by one: none begins with a text, which would become the
    docstring."""
    if _LAZY and any(isinstance(node, ast.AnnAssign) for top in body for node in _same_scope(top)):
        return [body]                       # one function evaluates the annotations of a module
    slices: list[list[ast.stmt]] = [[]]
    for node in body:
        if len(slices[-1]) >= _MANY and not _is_text(node):
            slices.append([])
        slices[-1].append(node)
    return slices


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is a constant, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def assignments(node: ast.AST) -> list[tuple[str, ast.expr]]:
    """[(name, value node)] of the plain names that a statement assigns."""
    if isinstance(node, ast.Assign):
        return [(target.id, node.value) for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return [(node.target.id, node.value)]
    return []


def is_livepatch(tree: ast.Module) -> bool:
    """Whether a file assigns `patch` at the top level, under conditions or not."""
    return any("patch" in {name for name, _ in assignments(node)} for top in tree.body for node in _same_scope(top))


def replaces(tree: ast.Module) -> bool | None:
    """Whether the livepatch replaces all earlier ones, as far as its text says so: the `replace` of the one Patch(...)
    that is assigned to `patch`; None: it takes the file's run to know."""
    values = [value for top in tree.body for node in _same_scope(top) for name, value in assignments(node)
              if name == "patch"]
    if len(values) != 1 or called(values[0]) != "Patch":
        return None
    call = values[0]
    assert isinstance(call, ast.Call)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if None in keywords or any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    value = call.args[1] if len(call.args) > 1 else keywords.get("replace", ast.Constant(value=False))
    return bool(value.value) if isinstance(value, ast.Constant) else None


def called(node: ast.AST) -> str:
    """The plain name of what a call calls: 'module_param' for module_param(...) and klpfs.module_param(...); '' if it
    has none."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def variable_of(tree: ast.Module, parameter: str) -> str | None:
    """The variable that module_param(parameter, ...) is assigned to, or None."""
    for top in tree.body:
        for node in _same_scope(top):
            for name, value in assignments(node):
                if isinstance(value, ast.Call) and called(value) == "module_param" and value.args and (
                        isinstance(value.args[0], ast.Constant) and value.args[0].value == parameter):
                    return name
    return None


def imported(tree: ast.Module) -> list[str]:
    """Root names of the modules that the top level imports."""
    names = []
    for top in tree.body:
        for node in _same_scope(top):
            if isinstance(node, ast.Import):
                names += [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.append(node.module.partition(".")[0])
    return list(dict.fromkeys(names))


def from_klpfs(tree: ast.Module) -> set[str]:
    """Names that the file's imports from klpfs bind."""
    import klpfs
    names: set[str] = set()
    for node in (node for top in tree.body for node in _same_scope(top)):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "klpfs":
            for alias in node.names:
                names.update(klpfs.__all__ if alias.name == "*" else (alias.asname or alias.name,))
        elif isinstance(node, ast.Import):
            names.update(alias.asname or "klpfs" for alias in node.names if alias.name.partition(".")[0] == "klpfs")
    return names


def class_blocks(tree: ast.Module, new: set[ast.AST]) -> set[str]:
    """Names of top-level class blocks in which all functions are new functions; new: their nodes."""
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef) and _only(node, new)}


def _only(block: ast.ClassDef, new: set[ast.AST]) -> bool:
    if block.decorator_list:
        return False
    for node in block.body:
        if isinstance(node, ast.ClassDef):
            if not _only(node, new):
                return False
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node not in new:
                return False
        elif not isinstance(node, ast.Pass) and not _is_text(node):
            return False
    return any(node in new for node in ast.walk(block))


def _same_scope(node: ast.AST) -> Iterator[ast.AST]:
    """A top-level statement and the statements in it, but not those of functions and classes."""
    yield node
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.stmt, ast.excepthandler)):
                yield from _same_scope(child)


def _functions(tree: ast.Module) -> Iterator[Any]:
    """Functions of the top level and of class blocks, conditions or not; not those in functions."""
    todo: list[ast.AST] = [tree]
    while todo:
        for node in ast.iter_child_nodes(todo.pop()):
            if isinstance(node, _FUNCTIONS):
                yield node
            else:
                todo.append(node)


def _collect(nodes: Iterable[ast.AST], classes: tuple[str, ...],
             found: dict[tuple[str, int], list[tuple[Any, tuple[str, ...]]]]) -> None:
    """Fills found, {(name, first line): [(node, names of the class blocks around it)]}, with the functions among
    nodes."""
    for node in nodes:
        if isinstance(node, _FUNCTIONS):
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            found.setdefault((name, first_line(node)), []).append((node, classes))
            _collect(getattr(node, "decorator_list", ()), classes, found)
            _collect(ast.iter_child_nodes(node.args), classes, found)
        elif isinstance(node, ast.ClassDef):
            _collect(ast.iter_child_nodes(node), classes + (node.name,), found)
        else:
            _collect(ast.iter_child_nodes(node), classes, found)


def _make_annotations_text(tree: ast.Module) -> None:
    for node in _functions(tree):
        if not isinstance(node, ast.Lambda) and not node.decorator_list:
            for argument in arguments(node):
                argument.annotation = _as_text(argument.annotation)
            node.returns = _as_text(node.returns)


def _as_text(annotation: ast.expr | None) -> ast.expr | None:
    if annotation is None:
        return None
    if isinstance(annotation, ast.Name):
        return ast.copy_location(ast.Constant(annotation.id), annotation)
    return ast.copy_location(ast.Constant(ast.unparse(annotation)), annotation)


def code_pairs(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]]:
    """[(code, code)] at the same places of two code objects that were compiled from the same text, of the second after
    a Rewriter."""
    pairs = [(old, new)]
    olds, news = inner(old), [code for code in inner(new) if not reads_namespace(code)]
    if [code.co_name for code in olds] != [code.co_name for code in news]:
        raise AssertionError(f"code of '{old.co_name}' is not compiled the same way twice")
    for pair in zip(olds, news):
        pairs += code_pairs(*pair)
    return pairs
