"""Between the statements of a main program: where the definitions of wanted functions are made.

The body of a main program never ends, so that cannot be waited for. Of a program that is yet to be compiled we know the
last statement that makes a wanted function (`compiled` puts a call behind it); of a program that runs already we see
which line it has got to (`passed`). A function is wanted by the first part of its qualified name: what it lies in.
"""
from __future__ import annotations

import ast

from klpfs.cpython.looks import threads
from klpfs.cpython.resolve.codes import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType
    from typing import Any

    Block = list[ast.stmt]

_CALL = "\0klpfs:call"
_SCOPES = {ast.Lambda: "<lambda>", ast.ListComp: "<listcomp>", ast.SetComp: "<setcomp>", ast.DictComp: "<dictcomp>",
           ast.GeneratorExp: "<genexpr>"}
_PARTS = ("body", "orelse", "finalbody", "handlers", "cases")


def firsts(names: Iterable[str]) -> set[str]:
    """The first parts of qualified names: {'C', 'make', '<lambda>'} of {'C.m', 'make.<locals>.h', '<lambda>'}."""
    return {name.partition(".")[0] for name in names}


def compiled(source: str | bytes, path: str, names: Iterable[str], call: Callable[[], Any]) -> CodeType | None:
    """The code object of a module's source, which calls call() behind the last of its statements that makes a function
    of these names; the call may come more than once. Else the code is as compile() makes it.

    None: no statement makes such a function, or the program does not compile. What call() raises passes through the
    program.
    """
    try:
        module = ast.parse(source, path)
    except (SyntaxError, ValueError):
        return None
    where = _last(module, firsts(names))
    if not where:
        return None
    for block, statement in where:
        block.insert(block.index(statement) + 1, _marker(statement))
    try:
        code = compile(ast.fix_missing_locations(module), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return code.replace(co_consts=tuple(
        call if type(const) is str and const == _CALL else const for const in code.co_consts))


def _marker(statement: Any) -> ast.stmt:
    """`CALL()` at the statement's last line."""
    at = ast.Constant(None, lineno=statement.end_lineno, col_offset=statement.col_offset,
                      end_lineno=statement.end_lineno, end_col_offset=statement.end_col_offset)
    # The compiler would warn of a plain text that is called.
    call = ast.IfExp(ast.Constant(True), ast.Constant(_CALL), ast.Constant(None))
    return ast.copy_location(ast.Expr(ast.copy_location(ast.Call(ast.copy_location(call, at), [], []), at)), at)


def _last(module: ast.Module, wanted: set[str]) -> list[tuple[Block, ast.stmt]]:
    """[(list of statements, the statement of it that makes the last wanted function)], from the top level inwards."""
    where, blocks = [], [module.body]
    while blocks:
        making = [(block, statement) for block in blocks for statement in block if _makes(statement, wanted)]
        if not making:
            break
        where.append(making[-1])
        blocks = _blocks(making[-1][1])
    return where


def _blocks(statement: ast.stmt) -> list[Block]:
    """The lists of statements in a compound statement that are of the same scope, in source order."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return []
    blocks: list[Block] = []
    for part in _PARTS:
        value = getattr(statement, part, None)
        if isinstance(value, list) and value:
            blocks += [clause.body for clause in value] if part in ("handlers", "cases") else [value]
    return sorted(blocks, key=lambda block: block[0].lineno)


def _makes(statement: ast.stmt, wanted: set[str]) -> bool:
    """Whether a statement, or a statement in it that is of the same scope, makes a wanted function or class."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name in wanted:
                return True
            todo += node.decorator_list
            continue
        if _SCOPES.get(type(node)) in wanted:
            return True
        if isinstance(node, ast.Lambda):
            continue
        todo += ast.iter_child_nodes(node)
    return False


def passed(names: Iterable[str], ident: int, namespace: dict[str, Any]) -> bool:
    """Whether a main program that runs already has made the functions of these names. ident: its thread; namespace: its
    dict.

    Where the thread runs a module's body that makes them, it must have got behind the last line that does; judged by
    the code that runs, so no source is needed. Else (the body is over, or has not begun, or each statement is a body of
    its own) what they lie in must be bound.
    """
    wanted = firsts(names)
    for code, line in reversed(threads.lines((ident,))[0][1]):
        if code.co_name == "<module>":
            last = max([definition.co_firstlineno for definition, name, _around in tree(code)
                        if name.partition(".")[0] in wanted], default=0)
            if last:
                return bool(line > last)
            break
    begun = [name for name in list(namespace) if type(name) is str and name[:2] != "__"]
    return bool(begun) and all(name in namespace for name in wanted if name[:1] != "<")
