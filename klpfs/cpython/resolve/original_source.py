"""The source of a loaded module as a tree of definitions, if it is the source of what is running.

The file may have been replaced since it was loaded, so nothing of it is believed: each function that is alive and comes
from the file must be found in it with the same code. Else the tree is empty and first lines decide.
"""
from types import CodeType

from klpfs.cpython.resolve.codes import positions, tree
from klpfs.cpython.resolve.fingerprint import fingerprint
from klpfs.cpython.load.parse import parse


class SourceTree:
    """False when there is none. Places are numbers in source order."""

    __slots__ = ("entries", "by_line", "code")

    def __init__(self, namespace, live):
        """live: code objects that are alive in the module, of this file or others."""
        self.entries, self.by_line, self.code = [], {}, None
        code = module_code(namespace)
        if code is None:
            return
        self.code = code
        self.entries = tree(code)
        for place, (each, _name, _outer) in enumerate(self.entries):
            self.by_line.setdefault((each.co_name, each.co_firstlineno), []).append(place)
        names = _file_names(namespace)
        for each in live:
            if each.co_filename.rpartition("/")[2] in names and not self._candidates(each):
                self.entries, self.by_line, self.code = [], {}, None
                return

    def __bool__(self):
        return bool(self.entries)

    def _candidates(self, code):
        places = self.by_line.get((code.co_name, code.co_firstlineno), ())
        if not places:
            return ()
        mark = fingerprint(code)
        found = [place for place in places if fingerprint(self.entries[place][0]) == mark]
        if len(found) > 1:
            where = positions(code)
            exact = [place for place in found if where and positions(self.entries[place][0]) == where]
            found = exact or found
        return found

    def several(self, code):
        """More than one definition of the source looks like this code."""
        return len(self._candidates(code)) > 1

    def place(self, code):
        """The place of a code object that is alive; None if it is not in the source, or at several places."""
        found = self._candidates(code)
        return found[0] if len(found) == 1 else None

    def name(self, code):
        found = {self.entries[place][1] for place in self._candidates(code)}
        return found.pop() if len(found) == 1 else None

    def places(self, name):
        """The places of all definitions of this qualified name, alive or not, in order."""
        return [place for place, entry in enumerate(self.entries) if entry[1] == name]


def defaults_of(namespace, code):
    """(number of positional defaults, names of keyword-only parameters with one) of a function's code, by its source.

    None: not to be had, or not to be told apart from another of its line. Only for a tree that is believed.
    """
    import ast
    path = dict.get(namespace, "__file__")
    try:
        tree = parse(_text(namespace, path), path)
    except (OSError, SyntaxError, ValueError, TypeError):
        return None
    found = []
    for node in ast.walk(tree):
        name = "<lambda>" if isinstance(node, ast.Lambda) else getattr(node, "name", None)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and name == code.co_name:
            line = min([node.lineno] + [each.lineno for each in getattr(node, "decorator_list", ())])
            if line == code.co_firstlineno:
                args = node.args
                only = {arg.arg for arg, value in zip(args.kwonlyargs, args.kw_defaults) if value is not None}
                found.append((len(args.defaults), only))
    return found[0] if len(found) == 1 else None


def _file_names(namespace):
    """Base names: what a script's code calls its file may be relative."""
    found = [dict.get(namespace, key) for key in ("__file__", "__cached__")]
    return {each.rpartition("/")[2] for each in found if type(each) is str}


def module_code(namespace):
    """The code object of a module's file, compiled anew, or read from its .pyc; None if there is no such thing."""
    path = dict.get(namespace, "__file__")
    if type(path) is not str:
        return None
    try:
        if path.endswith(".pyc"):
            import marshal
            with open(path, "rb") as file:
                found = marshal.loads(file.read()[16:])
            return found if type(found) is CodeType else None
        return compile(_text(namespace, path), path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, EOFError, TypeError):
        return None


def _text(namespace, path):
    import zipimport
    loader = dict.get(namespace, "__loader__")
    if type(loader) is zipimport.zipimporter:
        return loader.get_data(path)
    with open(path, "rb") as file:
        return file.read()
