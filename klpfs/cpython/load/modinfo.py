"""What a module's file says of itself, by its text alone (kmod's modinfo)."""
import ast
import os
from errno import ENOEXEC

from klpfs.cpython.load import source_file as files
from klpfs.engine.error import KlpError
from klpfs.protocol.names import module_name

_FIELDS = (("__version__", "version"), ("__author__", "author"), ("__license__", "license"))


def modinfo(path, source):
    """[(field, value)] in kmod's order, of a file's path and bytes. KlpError ENOEXEC: it does not parse.

    depends: the modules that it imports whose files lie beside it.
    """
    try:
        tree = ast.parse(source, path)
    except (SyntaxError, ValueError) as error:
        raise KlpError(ENOEXEC, "%s:%s: %s" % (path, getattr(error, "lineno", None) or 1, error)) from None
    values = dict(pair for node in tree.body for pair in files.assignments(node))
    fields = [("filename", path)]
    fields += [(field, str(values[name].value)) for name, field in _FIELDS if isinstance(values.get(name), ast.Constant)]
    if ast.get_docstring(tree):
        fields.append(("description", " ".join(ast.get_docstring(tree).split())))
    folder = os.path.dirname(path)
    fields.append(("depends", ",".join(name for name in files.imported(tree) if _beside(folder, name))))
    fields.append(("name", module_name(path)))
    if files.is_livepatch(tree):
        fields.append(("livepatch", "Y"))
    for node in tree.body:
        for each in ast.walk(node):
            if files.called(each) == "module_param" and each.args and isinstance(each.args[0], ast.Constant):
                fields.append(("parm", "%s:%s" % (each.args[0].value, _kind(each))))
    return fields


def _beside(folder, name):
    return any(os.path.exists(os.path.join(folder, each + ".py")) for each in (name, name.replace("_", "-")))


def _kind(call):
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    kind = call.args[1] if len(call.args) > 1 else given.get("type")
    return ast.unparse(kind) if kind is not None else "str"
