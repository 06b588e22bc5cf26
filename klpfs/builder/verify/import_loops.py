"""Names of a module's top level, by the statements that bind them: variables of loops, which nobody means, and what
makes an object."""
from __future__ import annotations

import ast

from klpfs.builder.compare.names_in_code import names_bound
from klpfs.builder.error import BuildError
from klpfs.builder.plan.package_plan import top_level
from klpfs.builder.read.modules import parse, path_of
from klpfs.builder.read.sources import Release


def statements_of(release: Release, module: str, name: str) -> list[ast.stmt]:
    """The statements of a module's top level that bind a name."""
    path = path_of(module, release.files)
    try:
        tree = parse(release, path).tree if path is not None else ast.Module([], [])
    except BuildError:
        return []
    return [node for node in top_level(tree) if isinstance(node, ast.stmt)
            and not isinstance(node, (ast.If, ast.While, ast.Try)) and name in names_bound(node)]


def bound_by_loops(release: Release, module: str) -> set[str]:
    """Names of a module's top level that nothing but `for` binds, and what is done in its loops."""
    path = path_of(module, release.files)
    if path is None:
        return set()
    try:
        tree = parse(release, path).tree
    except BuildError:
        return set()
    loops: set[str] = set()
    in_loops: set[ast.AST] = set()
    others: set[str] = set()
    for node in top_level(tree):            # a loop comes before what is in it
        if isinstance(node, ast.For):
            loops |= {each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)}
            in_loops.update(each for statement in node.body for each in ast.walk(statement))
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            others |= {each.id for item in node.items for each in ast.walk(item) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.ExceptHandler):
            others |= {node.name} if node.name else set()
        elif node not in in_loops and not isinstance(node, (ast.If, ast.While, ast.Try)):
            others |= names_bound(node)
    return loops - others
