"""Where in a main program the definitions of some functions are there: between its statements.

The body of a main program never ends, so that cannot be waited for. Of a program that is yet to be compiled we know the
last statement that makes a wanted function (`compiled` puts a call behind it); of one that runs already we see which line
it has got to (`passed`). What is wanted is told by the first part of a qualified name: what a function lies in.
"""
import ast

from klpfs.cpython.looks import threads
from klpfs.cpython.resolve.codes import tree

_CALL = "\0klpfs:call"
_SCOPES = {ast.Lambda: "<lambda>", ast.ListComp: "<listcomp>", ast.SetComp: "<setcomp>", ast.DictComp: "<dictcomp>",
           ast.GeneratorExp: "<genexpr>"}
_PARTS = ("body", "orelse", "finalbody", "handlers", "cases")


def firsts(names):
    """What to look for: {'C', 'make', '<lambda>'} of {'C.m', 'make.<locals>.h', '<lambda>'}."""
    return {name.partition(".")[0] for name in names}


def compiled(source, path, names, call):
    """The code object of a module's source (str or bytes), which calls call() behind the last of its statements that
    makes a function of these names; it may come more than once. Else it is as compile() makes it.

    None: no statement makes one, or the program does not compile. What call() raises passes through the program.
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
    return code.replace(co_consts=tuple(call if type(each) is str and each == _CALL else each for each in code.co_consts))


def _marker(statement):
    """`CALL()` at the statement's last line."""
    at = ast.Constant(None, lineno=statement.end_lineno, col_offset=statement.col_offset,
                      end_lineno=statement.end_lineno, end_col_offset=statement.end_col_offset)
    call = ast.IfExp(ast.Constant(True), ast.Constant(_CALL), ast.Constant(None))  # the compiler warns of a plain text there
    return ast.copy_location(ast.Expr(ast.copy_location(ast.Call(ast.copy_location(call, at), [], []), at)), at)


def _last(module, wanted):
    """[(list of statements, the one of them that makes the last wanted function)], from the top level inwards."""
    where, blocks = [], [module.body]
    while blocks:
        found = [(block, each) for block in blocks for each in block if _makes(each, wanted)]
        if not found:
            break
        where.append(found[-1])
        blocks = _blocks(found[-1][1])
    return where


def _blocks(statement):
    """The lists of statements in a compound statement that are of the same scope, in source order."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return []
    found = []
    for part in _PARTS:
        each = getattr(statement, part, None)
        if isinstance(each, list) and each:
            found += [one.body for one in each] if part in ("handlers", "cases") else [each]
    return sorted(found, key=lambda block: block[0].lineno)


def _makes(statement, wanted):
    """Whether a statement, or one in it that is of the same scope, makes a wanted function or class."""
    todo = [statement]
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


def passed(names, ident, namespace):
    """Whether these functions of a main program that runs already are there. ident: its thread; namespace: its dict.

    Where the thread runs a module's body that makes them, it must have got behind the last line that does; judged by the
    code that runs, so no source is needed. Else (the body is over, or has not begun, or each statement is a body of its
    own) what they lie in must be bound.
    """
    wanted = firsts(names)
    for code, line in reversed(threads.lines((ident,))[0][1]):
        if code.co_name == "<module>":
            last = max([each.co_firstlineno for each, name, outer in tree(code) if name.partition(".")[0] in wanted], default=0)
            if last:
                return line > last
            break
    begun = [name for name in list(namespace) if type(name) is str and name[:2] != "__"]
    return bool(begun) and all(name in namespace for name in wanted if name[:1] != "<")
