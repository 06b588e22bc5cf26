"""Whether two pieces of syntax mean the same: comments, formatting, docstrings and annotations don't count."""
import ast
import typing

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def field_kind(annotation: ast.expr) -> str:
    """What of a field's annotation decides how it is made: that it is none, or only a parameter."""
    text = ast.unparse(annotation)
    return next((each for each in ("ClassVar", "InitVar", "KW_ONLY") if each in text), "")


def without_doc(body: list) -> list:
    """The statements, without a docstring."""
    first = body[0] if body else None
    is_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if is_doc else body


def for_checkers(node: ast.stmt) -> bool:
    """`if TYPE_CHECKING:`, or a bare annotation."""
    if isinstance(node, ast.If):
        name = getattr(node.test, "id", getattr(node.test, "attr", None))
        return name == "TYPE_CHECKING"
    return isinstance(node, ast.AnnAssign) and node.value is None


def dump(node: typing.Union[ast.AST, list, None], fields: bool = False) -> str:
    """Text that is equal for pieces of syntax that mean the same. fields: annotations of class attributes count."""
    parts: "list[str]" = []
    if isinstance(node, list):
        _dump_body(node, fields, parts)
    else:
        _dump(node, fields, parts)
    return "".join(parts)


def _dump_body(nodes: list, fields: bool, parts: "list[str]") -> None:
    parts.append("[")
    for each in nodes:
        if isinstance(each, ast.AnnAssign) and each.value is None and not fields:
            continue
        if isinstance(each, ast.If) and for_checkers(each):
            for one in each.orelse:
                _dump(one, fields, parts)
            continue
        if isinstance(each, ast.Pass):
            continue
        _dump(each, fields, parts)
        parts.append(";")
    parts.append("]")


_SKIPPED = frozenset(("type_comment", "returns", "ctx", "kind", "type_ignores", "annotation"))
_BODIES = frozenset(("body", "orelse", "finalbody"))


def _dump(node, fields: bool, parts: "list[str]") -> None:
    """Appends to parts. What only type checkers and readers look at is left out: docstrings, annotations, casts."""
    kind = type(node)
    if kind is ast.Constant:
        parts.append(f"{type(node.value).__name__}:{node.value!r}")
        return
    if kind is ast.Name:
        parts.append(f"n:{node.id}")
        return
    if kind is ast.Call and not node.keywords and len(node.args) == 2 and (
            getattr(node.func, "id", getattr(node.func, "attr", None)) == "cast"):
        _dump(node.args[1], fields, parts)
        return
    if kind is ast.AnnAssign and node.value is not None and not fields:
        _dump(ast.Assign([node.target], node.value), fields, parts)
        return
    if kind is ast.AnnAssign:
        parts.append(field_kind(node.annotation))
    parts.append(kind.__name__ if isinstance(node, ast.AST) else repr(node))
    if not isinstance(node, ast.AST):
        return
    parts.append("(")
    documented = isinstance(node, FUNCTIONS + (ast.ClassDef,))
    for name in node._fields:
        value = getattr(node, name, None)
        if name in _SKIPPED:
            continue
        if value is None:
            parts.append("-")
            continue
        if isinstance(value, list):
            if name in _BODIES:
                _dump_body(without_doc(value) if documented and name == "body" else value, fields, parts)
            else:
                parts.append("[")
                for each in value:
                    _dump(each, fields, parts)
                    parts.append(",")
                parts.append("]")
        elif isinstance(value, ast.AST):
            _dump(value, fields, parts)
        else:
            parts.append(repr(value))
        parts.append(",")
    parts.append(")")


def same(one, other, fields: bool = False) -> bool:
    return dump(one, fields) == dump(other, fields)


def decorator_name(node: ast.expr) -> str:
    """'property' of @property, 'app.route' of @app.route(...)."""
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def is_generator(node) -> bool:
    """A function with a yield of its own."""
    todo = list(node.body)
    while todo:
        each = todo.pop()
        if isinstance(each, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(each, FUNCTIONS + (ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(each)
    return False


def flavour(node) -> str:
    """What calling it makes: function, generator, coroutine, async generator."""
    if isinstance(node, ast.AsyncFunctionDef):
        return "async generator" if is_generator(node) else "coroutine"
    return "generator" if is_generator(node) else "function"
