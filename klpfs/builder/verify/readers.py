"""The reading of NEW's code: which names, attributes and docstrings it looks at, so that what is left as in the old
version is told from what nobody would miss."""
from __future__ import annotations

import ast
import builtins
import dis
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from types import CodeType

from attrs import define, field

from klpfs.builder.read.modules import module_name, read
from klpfs.builder.read.sources import Release
from klpfs.builder.syntax import last_name

_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")
_DOCS = re.compile(rb"\b(__doc__|getdoc|docopt|yacc|lex)\b")
_PARSE_DOCS = frozenset(("docopt", "ply", "yacc", "lex"))      # they read the docstrings of their callers
_ANNOTATIONS = re.compile(rb"\b(__annotations__|get_type_hints|get_annotations|__annotate__)\b")
_OWN_DICTS = re.compile(rb"\b(__dict__|vars)\b")


@define(eq=False)
class Readers:
    """The Python files of a release."""

    release: Release
    _trees: dict[str, ast.Module | None] = field(init=False, factory=dict)

    @cached_property
    def _texts(self) -> dict[str, bytes]:
        return {path: read(where) for path, where in self.release.files.items() if path.endswith(".py")}

    def _tree(self, path: str) -> ast.Module | None:
        if path not in self._trees:
            try:
                self._trees[path] = ast.parse(self._texts[path])
            except (SyntaxError, ValueError):
                self._trees[path] = None
        return self._trees[path]

    def _with(self, pattern: re.Pattern[bytes]) -> Iterator[tuple[str, ast.Module]]:
        for path, text in self._texts.items():
            tree = self._tree(path) if pattern.search(text) else None
            if tree is not None:
                yield path, tree

    def attribute(self, name: str) -> bool:
        """Whether code asks objects for an attribute, by its name or by a text. What begins and ends with two
        underscores the interpreter asks for."""
        if name.startswith("__") and name.endswith("__"):
            return True
        for _, tree in self._with(re.compile(rb"\b%s\b" % re.escape(name.encode()))):
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load) or (
                        isinstance(node, ast.Constant) and node.value == name):
                    return True
        return False

    def name(self, module: str, name: str) -> bool:
        """Whether a module's code loads a global name that is a builtin's where the module has none, or another
        module's code asks it for that name. A name that is nowhere else nobody loads who does not know that it is
        there."""
        last = module.rpartition(".")[2]
        for path, tree in self._with(re.compile(rb"\b%s\b" % re.escape(name.encode()))):
            if module_name(path) == module and hasattr(builtins, name) and name in self._globals(path, tree):
                return True
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and node.attr == name and last_name(node.value) == last:
                    return True
                if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == last and any(
                        alias.name == name for alias in node.names):
                    return True
        return False

    @staticmethod
    def _globals(path: str, tree: ast.Module) -> set[str]:
        """Names that code loads from a module's namespace when it runs; annotations are not looked at."""
        try:
            todo = [compile(tree, path, "exec", dont_inherit=True)]
        except (SyntaxError, ValueError, RecursionError):
            return set()
        found: set[str] = set()
        while todo:
            code = todo.pop()
            todo += [each for each in code.co_consts if type(each) is CodeType and each.co_name != "__annotate__"]
            found.update(each.argval for each in dis.get_instructions(code) if each.opname in _GLOBAL)
        return found

    @cached_property
    def own_docs(self) -> set[str]:
        """Modules whose own docstring their code reads."""
        return {module_name(path) for path, tree in self._with(re.compile(rb"\b__doc__\b")) for node in ast.walk(tree)
                if isinstance(node, ast.Name) and node.id == "__doc__" and isinstance(node.ctx, ast.Load)}

    @cached_property
    def lists_of_names(self) -> bool:
        """Whether code looks at a module's `__all__`; who adds to it does not."""
        return any(isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load) and (
            last_name(node) == "__all__") for _, tree in self._with(re.compile(rb"\b__all__\b"))
            for node in ast.walk(tree))

    @cached_property
    def docs(self) -> bool:
        """Whether code makes something of the docstrings of functions or classes; who copies them does not."""
        return any(_makes_of_docs(tree) for _, tree in self._with(_DOCS))

    @cached_property
    def annotations(self) -> bool:
        """Whether code looks at annotations when it runs."""
        return any(map(_ANNOTATIONS.search, self._texts.values()))

    @cached_property
    def subclasses(self) -> bool:
        """Whether code asks classes for their subclasses."""
        return any(b"__subclasses__" in text for text in self._texts.values())

    @cached_property
    def own_dicts(self) -> bool:
        """Whether code looks at all attributes of an object at once, whose order it then sees."""
        return any(map(_OWN_DICTS.search, self._texts.values()))


def _makes_of_docs(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name.partition(".")[0] for alias in node.names}
            if not _PARSE_DOCS.isdisjoint(names | {(getattr(node, "module", None) or "").partition(".")[0]}):
                return True
        if isinstance(node, ast.Call):
            used: Iterable[ast.expr] = [*node.args, node.func.value] if isinstance(
                node.func, ast.Attribute) else node.args
            if last_name(node.func) in ("getdoc", "cleandoc") or any(map(_is_doc, used)):
                return True
        if isinstance(node, (ast.Subscript, ast.For)) and _is_doc(node.value if isinstance(
                node, ast.Subscript) else node.iter):
            return True
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.In, ast.Eq)) for op in node.ops) and any(
                map(_is_doc, (node.left, *node.comparators))):
            return True
    return False


def _is_doc(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return any(map(_is_doc, node.values))
    return isinstance(node, ast.Attribute) and node.attr == "__doc__" and isinstance(node.ctx, ast.Load)
