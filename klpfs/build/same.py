"""Whether two pieces of syntax mean the same: comments, formatting, docstrings and annotations don't count."""
import ast
import copy
import typing

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class _Plain(ast.NodeTransformer):
    """Drops docstrings, annotations, and what is there for type checkers only."""

    def __init__(self, keep_fields: bool):
        self.keep_fields = keep_fields

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.returns, node.type_comment = None, None
        node.body = without_doc(node.body) or [ast.Pass()]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        node.body = without_doc(node.body) or [ast.Pass()]
        return node

    def visit_arg(self, node):
        node.annotation = node.type_comment = None
        return node

    def visit_AnnAssign(self, node):
        if self.keep_fields:
            node.annotation = ast.Constant(field_kind(node.annotation))
            return node
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value is not None else None

    def visit_Assign(self, node):
        self.generic_visit(node)
        node.type_comment = None
        return node

    def visit_If(self, node):
        if for_checkers(node):
            return [self.visit(each) for each in node.orelse] or None
        return self.generic_visit(node)

    def visit_Call(self, node):  # typing.cast("T", x) is x
        self.generic_visit(node)
        name = getattr(node.func, "id", getattr(node.func, "attr", None))
        return node.args[1] if name == "cast" and len(node.args) == 2 and not node.keywords else node


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
    if node is None:
        return ""
    if isinstance(node, list):
        return "|".join(filter(None, (dump(each, fields) for each in node)))
    plain = _Plain(fields).visit(copy.deepcopy(node))
    return "" if plain is None else ast.dump(ast.fix_missing_locations(plain))


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
