"""A livepatch file as text: its statements, the names that they bind and use, the node of each function in it.

Nothing here runs the file; loader.py does.
"""
import __future__
import ast
import re
import sys
from types import CodeType

from klpfs.cpython.load.name_rewriter import arguments, bindings, copied, Nonlocals, references
from klpfs.cpython.load.parse import parse

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
ANNOTATIONS = __future__.annotations.compiler_flag
_LAZY = sys.version_info >= (3, 14)


class Statement:
    """One statement of the top level. bound: names. used: {name: node}, stored, evaluated: as names.references; found when
    they are asked for, since of most statements nobody does."""

    __slots__ = ("node", "bound", "_future", "_found")

    def __init__(self, node, future):
        self.node = node
        self.bound = bindings([node])[0]
        self._future, self._found = future, None

    def _references(self, at):
        if self._found is None:
            self._found = references(self.node, self._future)
        return self._found[at]

    used = property(lambda self: self._references(0))
    stored = property(lambda self: self._references(1))
    evaluated = property(lambda self: self._references(2))


class File:
    """A parsed file. SyntaxError or ValueError when it is none.

    codes: its code objects, to be run once, one after the other: a large file is parsed and compiled in slices, so that the
    program gets on in between (breathe: a function that lets it, or None). flags: of its future statements. tree: as parsed, but that annotations of
    undecorated functions are their text: nothing of the patched module is evaluated when the file is run. nonlocals:
    (name, line) of the functions that are for closures only, as names.Nonlocals found them.
    The tree and what is made of it are let go by `forget` and made anew when they are needed: the tree of a large file
    is the larger part of what a patch costs the program's memory, and each of its garbage collections.
    """

    __slots__ = ("path", "text", "flags", "codes", "nonlocals", "_breathe", "_tree", "_statements", "_binders", "_nodes")

    def __init__(self, source, path, breathe=None):
        """source: bytes. path: as tracebacks show it."""
        import io
        import tokenize
        self.path, self._breathe = path, breathe
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        self.text = io.TextIOWrapper(io.BytesIO(source), encoding, newline=None).read()
        self._tree = _parsed(self.text, path, breathe)
        self.flags = 0
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                for alias in node.names:
                    self.flags |= getattr(__future__, alias.name).compiler_flag
        if not self.flags & ANNOTATIONS:
            _make_annotations_text(self.tree)
        self.codes = self.compile(self.tree.body)
        self._statements = self._binders = self._nodes = None

    @property
    def tree(self):
        if self._tree is None:
            self._tree = _parsed(self.text, self.path, self._breathe)
            if not self.flags & ANNOTATIONS:
                _make_annotations_text(self._tree)
        return self._tree

    def forget(self):
        """Lets go of the tree. Who holds nodes of it has to let go of them, too: those to come are others."""
        self._tree = self._statements = self._binders = self._nodes = None

    def compile(self, body):
        """The code objects of the statements of this file, or of others in their places."""
        found, codes = Nonlocals(), []
        for part in _slices(body):
            if codes and self._breathe is not None:
                self._breathe()
            module = ast.Module(body=part, type_ignores=[])
            if "nonlocal" in self.text:
                module = found.visit(copied(module))
            codes.append(compile(module, self.path, "exec", flags=self.flags, dont_inherit=True))
        self.nonlocals = {(node.name, node.lineno) for node in found.found}
        return codes

    @property
    def statements(self):
        if self._statements is None:
            future = bool(self.flags & ANNOTATIONS)
            self._statements = [Statement(node, future) for node in self.tree.body]
        return self._statements

    def node_of(self, code):
        """(node, names of the class blocks around it) of a function's code; None: not of this file, or not to be told
        apart from another of its line; a function in a function is of its encloser, not of the file: None too."""
        if self._nodes is None:
            self._nodes = {}
            _collect(self.tree.body, (), self._nodes)
        found = self._nodes.get((code.co_name, code.co_firstlineno), ())
        if code.co_filename != self.path or len(found) != 1:
            return None
        return found[0]

    def binders(self, name):
        """The statements of the top level that bind a name."""
        if self._binders is None:
            self._binders = {}
            for each in self.statements:
                for one in each.bound:
                    self._binders.setdefault(one, []).append(each)
        return self._binders.get(name, [])

    def stored(self, but):
        """Names that global statements in functions of the file name; but: names of functions left out, whose globals
        are other modules'."""
        if "global" not in self.text:
            return set()
        return set().union(*(each.stored for each in self.statements if not (each.bound and each.bound <= but)))

    def literal(self, name):
        """The value of a top-level assignment of a constant, or None."""
        found = None
        for node in self.tree.body:
            for target, value in assignments(node):
                if target == name:
                    found = value.value if isinstance(value, ast.Constant) else None
        return found


_LONG = 4000        # characters of a slice, a millisecond of parsing
_MANY = 20          # statements of a slice
_MOST = 64          # slices of a text: the parser counts all the lines above each
_BEGINS = re.compile(r"(?<=\n)(?:[ \t]+[^\n]*\n\n*)(?=def |class |async def )")


def _parsed(text, path, breathe):
    """As ast.parse, in slices. A text is cut where a definition begins behind an indented line: inside of a string, brackets or
    a statement that is continued, the slice before it would not parse."""
    size, at, line, body = max(_LONG, len(text) // _MOST), 0, 0, []
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
        return parse(text, path)        # it says what is wrong; or it was no place to cut
    return ast.Module(body=body, type_ignores=[])


def _slices(body):
    """The statements in parts that may be compiled one by one: none begins with a text, which would become the docstring."""
    if _LAZY and any(isinstance(node, ast.AnnAssign) for top in body for node in _same_scope(top)):
        return [body]                       # one function evaluates the annotations of a module
    parts = [[]]
    for node in body:
        if len(parts[-1]) >= _MANY and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            parts.append([])
        parts[-1].append(node)
    return parts


def assignments(node):
    """(name, value node) of the plain names that a statement assigns."""
    if isinstance(node, ast.Assign):
        return [(each.id, node.value) for each in node.targets if isinstance(each, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return [(node.target.id, node.value)]
    return []


def is_livepatch(tree):
    """A `patch` is assigned at the top level, under conditions or not."""
    return any("patch" in {name for name, _ in assignments(node)} for top in tree.body for node in _same_scope(top))


def replaces(tree):
    """Whether the livepatch replaces all earlier ones, as far as its text says so: the `replace` of the one Patch(...) that is
    assigned to `patch`; None: it takes the file's run to know."""
    found = [value for top in tree.body for node in _same_scope(top) for name, value in assignments(node) if name == "patch"]
    if len(found) != 1 or called(found[0]) != "Patch":
        return None
    call = found[0]
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if None in given or any(isinstance(each, ast.Starred) for each in call.args):
        return None
    value = call.args[1] if len(call.args) > 1 else given.get("replace", ast.Constant(value=False))
    return bool(value.value) if isinstance(value, ast.Constant) else None


def called(node):
    """The plain name of what a call calls: 'module_param' for module_param(...) and klpfs.module_param(...)."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def variable_of(tree, parameter):
    """The variable that module_param(parameter, ...) is assigned to, or None."""
    for top in tree.body:
        for node in _same_scope(top):
            for name, value in assignments(node):
                if called(value) == "module_param" and value.args and isinstance(value.args[0], ast.Constant) and (
                        value.args[0].value == parameter):
                    return name
    return None


def imported(tree):
    """Root names of the modules that the top level imports."""
    found = []
    for top in tree.body:
        for node in _same_scope(top):
            if isinstance(node, ast.Import):
                found += [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.append(node.module.partition(".")[0])
    return list(dict.fromkeys(found))


def from_klpfs(tree):
    """Names that the file's imports from klpfs bind."""
    import klpfs
    found = set()
    for node in (each for top in tree.body for each in _same_scope(top)):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "klpfs":
            for alias in node.names:
                found.update(klpfs.__all__ if alias.name == "*" else (alias.asname or alias.name,))
        elif isinstance(node, ast.Import):
            found.update(alias.asname or "klpfs" for alias in node.names if alias.name.partition(".")[0] == "klpfs")
    return found


def class_blocks(tree, new):
    """Names of top-level class blocks that hold nothing but functions of `new`, a set of nodes."""
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef) and _only(node, new)}


def _only(block, new):
    if block.decorator_list:
        return False
    for node in block.body:
        if isinstance(node, ast.ClassDef):
            if not _only(node, new):
                return False
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node not in new:
                return False
        elif not isinstance(node, ast.Pass) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return False
    return any(node in new for node in ast.walk(block))


def _same_scope(node):
    """A top-level statement and the statements in it, but not those of functions and classes."""
    yield node
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        for each in ast.iter_child_nodes(node):
            if isinstance(each, (ast.stmt, ast.excepthandler)):
                yield from _same_scope(each)


def _functions(tree):
    """Functions of the top level and of class blocks, conditions or not; not those in functions."""
    todo = [tree]
    while todo:
        for node in ast.iter_child_nodes(todo.pop()):
            if isinstance(node, _FUNCTIONS):
                yield node
            else:
                todo.append(node)


def _collect(nodes, classes, found):
    for node in nodes:
        if isinstance(node, _FUNCTIONS):
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            lines = [each.lineno for each in getattr(node, "decorator_list", ())] + [node.lineno]
            found.setdefault((name, min(lines)), []).append((node, classes))
            outside = list(getattr(node, "decorator_list", ())) + [each for each in ast.iter_child_nodes(node.args)]
            _collect(outside, classes, found)
        elif isinstance(node, ast.ClassDef):
            _collect(ast.iter_child_nodes(node), classes + (node.name,), found)
        else:
            _collect(ast.iter_child_nodes(node), classes, found)


def _make_annotations_text(tree):
    for node in _functions(tree):
        if not isinstance(node, ast.Lambda) and not node.decorator_list:
            for each in arguments(node):
                each.annotation = _as_text(each.annotation)
            node.returns = _as_text(node.returns)


def _as_text(annotation):
    if annotation is None:
        return None
    if isinstance(annotation, ast.Name):
        return ast.copy_location(ast.Constant(annotation.id), annotation)
    return ast.copy_location(ast.Constant(ast.unparse(annotation)), annotation)


def code_pairs(one, other):
    """Pairs of code objects at the same places of two codes compiled from the same text: [(code, code)]."""
    found = [(one, other)]
    inner_one = [each for each in one.co_consts if type(each) is CodeType]
    inner_other = [each for each in other.co_consts if type(each) is CodeType]
    if [each.co_name for each in inner_one] != [each.co_name for each in inner_other]:
        raise AssertionError("code of '%s' is not compiled the same way twice" % one.co_name)
    for each, its in zip(inner_one, inner_other):
        found += code_pairs(each, its)
    return found
