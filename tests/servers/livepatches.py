"""Livepatches of functions as they are installed: verbatim copies, each of which first checks the stack that it is on.

So any function of any release can be patched here, and a mixed stack is an error of the request (programs/stacks.py).
"""
import ast
import builtins
import importlib.machinery
import pathlib


def source_of(module, path):
    """The file (Path) of a module, by its name, in the folders of `path` (list of str)."""
    name, folders, spec = "", path, None
    for part in module.split("."):
        name = f"{name}.{part}".lstrip(".")
        spec = importlib.machinery.PathFinder.find_spec(name, folders)
        if spec is None:
            raise LookupError(f"no module {name}")
        folders = spec.submodule_search_locations
    return pathlib.Path(spec.origin)


def definition(tree, qualname, sympos=1):
    """The node of a definition in a module's tree, the n-th of its name; LookupError."""
    node = tree
    for part in qualname.split("."):
        if part == "<locals>":
            continue
        found = [child for child in ast.walk(node) if child is not node and getattr(child, "name", None) == part]
        if not found:
            raise LookupError(qualname)
        found.sort(key=lambda child: child.lineno)
        node = found[sympos - 1 if part == qualname.rpartition(".")[2] else 0]
    return node


def checked(node):
    """The definition without decorators, with the check as its first statement."""
    node.decorator_list = []
    docstring = int(ast.get_docstring(node, clean=False) is not None)
    node.body.insert(docstring, ast.parse("one_version()").body[0])
    return node


def of_defaults(node):
    """The names of the module that a definition's default values need: they are evaluated in the livepatch's file."""
    defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    return sorted({each.id for default in defaults
                   for each in ast.walk(default) if isinstance(each, ast.Name)} - set(dir(builtins)))


def livepatch(functions, path, main=None):
    """The text of a livepatch of `functions`: {module: [qualified name]}; a name may end with ',SYMPOS'. main: the
    module that is the main program."""
    blocks, objects = [], []
    for module, names in functions.items():
        tree = ast.parse(source_of(module, path).read_text())
        funcs, classes = [], {}
        for name in names:
            name, _, sympos = name.partition(",")
            node = checked(definition(tree, name, int(sympos or 1)))
            blocks += [f"from {module} import {each}" for each in of_defaults(node)]
            owner, _, last = name.rpartition(".")
            if owner and not owner.endswith("<locals>"):
                classes.setdefault(owner, []).append(node)
                new = f"{owner}.{last}"
            else:
                blocks.append(ast.unparse(node))
                new = last
            funcs.append(f"Func({name!r}, {new}{f', {sympos}' if sympos else ''})")
        for owner, nodes in classes.items():
            block = ast.parse(f"class {owner}: pass").body[0]
            block.body = nodes
            blocks.append(ast.unparse(block))
        objects.append(f"Object({None if module == main else module!r}, funcs=[{', '.join(funcs)}])")
    return "\n\n\n".join(["from klpfs import Func, Object, Patch\nfrom stacks import version as one_version", *blocks,
                          f"patch = Patch(objects=[{', '.join(objects)}], replace=True)\n"])


def watched(functions, path):
    """The environment's PATCHED for them; see programs/stacks.py."""
    found = []
    for module, names in functions.items():
        source = source_of(module, path)
        tree = ast.parse(source.read_text())
        for name in names:
            name, _, sympos = name.partition(",")
            node = definition(tree, name, int(sympos or 1))
            line = min(each.lineno for each in (node, *node.decorator_list))
            found.append(f"{'/'.join(source.parts[-2:])}:{name.rpartition('.')[2]}:{line}")
    return " ".join(found)
