"""Facts that a module's file states of itself, by its text alone (kmod's modinfo)."""
from __future__ import annotations

import ast
import os
from errno import ENOEXEC

from klpfs.cpython.load import source_file as files
from klpfs.engine.error import KlpError
from klpfs.protocol.names import module_name

_FIELDS = (("__version__", "version"), ("__author__", "author"), ("__license__", "license"))


def modinfo(path: str, source: bytes) -> list[tuple[str, str]]:
    """[(field, value)] in kmod's order, of a file's path and bytes.

    depends: the modules that it imports whose files lie beside it. vermagic: of the kernel that runs here, as a
    module of this machine's would have it, for tools that compare (kpatch): Python code depends on none. KlpError
    ENOEXEC: the file does not parse, is nested deeper than Python's parser or printer goes, or has a number that is
    longer than Python prints.
    """
    try:
        return _fields(path, ast.parse(source, path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = str(error) or type(error).__name__          # a MemoryError of the parser says nothing
        raise KlpError(ENOEXEC, f"{path}:{getattr(error, 'lineno', None) or 1}: {said}") from None


def _fields(path: str, tree: ast.Module) -> list[tuple[str, str]]:
    values = dict(pair for node in tree.body for pair in files.assignments(node))
    fields = [("filename", path)]
    for name, field in _FIELDS:
        value = values.get(name)
        if isinstance(value, ast.Constant):
            fields.append((field, str(value.value)))
    docstring = ast.get_docstring(tree)
    if docstring:
        fields.append(("description", " ".join(docstring.split())))
    folder = os.path.dirname(path)
    fields.append(("depends", ",".join(name for name in files.imported(tree) if _lies_beside(folder, name))))
    fields.append(("name", module_name(path)))
    if files.is_livepatch(tree):
        fields.append(("livepatch", "Y"))
    fields.append(("vermagic", f"{os.uname().release} klpfs"))
    for call in (node for top in tree.body for node in ast.walk(top)):
        if isinstance(call, ast.Call) and files.called(call) == "module_param" and call.args and (
                isinstance(call.args[0], ast.Constant)):
            fields.append(("parm", f"{str(call.args[0].value)}:{_type_of(call)}"))
    return fields


def _lies_beside(folder: str, name: str) -> bool:
    return any(os.path.exists(os.path.join(folder, stem + ".py")) for stem in (name, name.replace("_", "-")))


def _type_of(call: ast.Call) -> str:
    """The type that a call of module_param says, as text."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    type = call.args[1] if len(call.args) > 1 else keywords.get("type")
    return ast.unparse(type) if type is not None else "str"
