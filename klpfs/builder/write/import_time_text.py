"""The text of what importing NEW does differently: a function for ImportTime, of NEW's own statements."""
import ast
import textwrap
import typing

from klpfs.builder.compare.changes import ScopeChange
from klpfs.builder.write.function_text import form_edits, with_forms
from klpfs.builder.read.modules import Module
from klpfs.builder.plan.planner import ModulePlan
from klpfs.builder.compare.equivalence import FUNCTIONS
from klpfs.builder.compare.statements import first_line, Leaf, parse_scope
from klpfs.builder.read.source_text import Edit, replace, unparsed

_PARAMETER = "klp"


def import_time_text(plan: ModulePlan, name: str, whole: bool = False,
                     when: str = "what importing it does otherwise; old code sees it, too, from the moment the patch goes in") -> str:
    """`def name(klp):` with everything of the plan that is to run. whole: of a module that is new. when: for the comment."""
    text = _Writer(plan).body(plan.new.tree.body, 4, None)
    names = sorted(_bound(plan) | ({"__doc__"} if whole and ast.get_docstring(plan.new.tree) else set()))
    lines = [f"def {name}({_PARAMETER}):\n"]
    if not whole:
        lines.append(f"    # {plan.new.file}: {when}\n")
    if names:
        lines.append(textwrap.fill("global " + ", ".join(names), 116, initial_indent="    ",
                                   subsequent_indent="    ").replace(",\n    ", "\n    global ") + "\n\n")
    for each, keys in sorted(plan.removes.items()):
        lines.append(f"    {_PARAMETER}.removes({', '.join(map(repr, [each, *keys]))})\n")
    if not text:
        text = "    pass\n"
    return "".join(lines) + text


def _bound(plan: ModulePlan) -> "set[str]":
    """Names of the module that are bound by what runs."""
    found = set()
    for leaf in plan.run:
        if leaf in plan.change.new_scope.leaves:
            found |= leaf.binds - {"*"} | set(plan.stars.get(id(leaf.node), ()))
    for change in plan.parts.values():
        found.add(change.name.partition(".")[0])
    return found


def module_text(module: Module, name: str, stars: "dict[int, list[str]]") -> str:
    """`def name(klp):` with the whole of a module that only NEW has."""
    scope = parse_scope(module.tree.body)
    plan = ModulePlan(module.name, module, module, ScopeChange("", module.tree, module.tree, scope, scope))
    plan.run, plan.stars = list(scope.leaves), stars
    doc = ast.get_docstring(module.tree, clean=False)
    text = import_time_text(plan, name, whole=True)
    return text if doc is None else text.replace("\n\n", f"\n    __doc__ = {doc!r}\n\n", 1)


class _Writer:
    def __init__(self, plan: ModulePlan):
        self.plan, self.source = plan, plan.new.source
        self.chosen: "dict[int, list[Leaf]]" = {}
        for leaf in plan.run:
            self.chosen.setdefault(id(leaf.node), []).append(leaf)

    def wants(self, node: ast.AST) -> bool:
        """Something in a statement runs."""
        return any(id(each) in self.chosen or id(each) in self.plan.parts for each in ast.walk(node))

    def body(self, nodes: list, indent: int, change: typing.Optional[ScopeChange], always: bool = False) -> str:
        text, spaced = "", False
        for node in nodes:
            one = self.statement(node, indent, change, always)
            if one:
                one = self.comment(node, indent) + one
                definition = isinstance(node, FUNCTIONS + (ast.ClassDef,))
                text += "\n" * bool(text and (definition or spaced)) + one
                spaced = definition
        return text

    def comment(self, node: ast.stmt, indent: int) -> str:
        """Where a statement comes from, and why it is here."""
        reasons = {self.plan.reasons.get(id(leaf)) for leaf in self.chosen.get(id(node), ())} - {None}
        if not reasons:
            return ""
        return f"{' ' * indent}# line {first_line(node)}: {', '.join(sorted(reasons))}\n"

    def statement(self, node: ast.stmt, indent: int, change, always: bool) -> str:
        if id(node) in self.chosen:
            return self.whole(node, indent, change)
        if isinstance(node, ast.ClassDef):
            inner = self._part(node)
            return "" if inner is None else self.part(node, inner, indent)
        if always and isinstance(node, (ast.Import, ast.ImportFrom)):
            return unparsed(node, indent)
        if isinstance(node, FUNCTIONS) or not isinstance(node, (ast.If, ast.Try, ast.With)) or not self.wants(node):
            return ""
        return self.compound(node, indent, change)

    def _part(self, node) -> typing.Optional[ScopeChange]:
        if id(node) in self.plan.parts:
            return self.plan.parts[id(node)]
        for each in self.plan.parts.values():  # a class in it
            if any(one is each.new for one in ast.walk(node)):
                return each
        return None

    def whole(self, node: ast.stmt, indent: int, change) -> str:
        leaves = self.chosen[id(node)]
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            names = self.plan.stars.get(id(node))
            if names:
                return unparsed(_with_names(node, [ast.alias(each) for each in names]), indent)
            return f"{' ' * indent}{_PARAMETER}.star({'.' * node.level + (node.module or '')!r})\n"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            aliases = [leaf.alias for leaf in leaves]
            if len(aliases) < len(node.names):
                kept = [each for each in node.names if each in aliases]
                return unparsed(_with_names(node, kept), indent)
        edits = [] if change is not None or isinstance(node, FUNCTIONS + (ast.ClassDef,)) else _namespaces(node)
        if isinstance(node, ast.AnnAssign) and change is None:
            if node.value is None:
                return ""
            edits.append(Edit((node.target.end_lineno, node.target.end_col_offset), (node.value.lineno, node.value.col_offset), " = "))
        if not self.source.alone(node):
            if isinstance(node, ast.AnnAssign) and change is None:
                node = ast.copy_location(ast.Assign([node.target], node.value), node)
            return unparsed(node, indent)
        forms = form_edits(self.source, node, self.plan.forms)
        if forms is None:
            return unparsed(with_forms(node, self.plan.forms), indent)
        return self.source.block(first_line(node), node.end_lineno, indent, edits + forms)

    def part(self, node: ast.ClassDef, change: ScopeChange, indent: int) -> str:
        body, after = self.body(node.body, indent + 4, change), ""
        head = self.plan.heads.get(id(node))
        if head is not None:
            body = "".join(f"{' ' * (indent + 4)}{line}\n" for line in head.inside) + body
            after = "".join(textwrap.indent(each, " " * indent) for each in head.after)
        return (f"{' ' * indent}class {node.name}(metaclass={_PARAMETER}.part):\n{body}" if body else "") + after

    def compound(self, node, indent: int, change) -> str:
        space = " " * indent
        if isinstance(node, ast.If):
            text = f"{space}if {ast.unparse(node.test)}:\n" + self._block(node.body, indent, change)
            return text + (f"{space}else:\n" + self._block(node.orelse, indent, change) if node.orelse else "")
        if isinstance(node, ast.With):
            heads = ", ".join(ast.unparse(each) for each in node.items)
            return f"{space}with {heads}:\n" + self._block(node.body, indent, change)
        text = f"{space}try:\n" + self._block(node.body, indent, change, True)
        for each in node.handlers:
            kind = f" {ast.unparse(each.type)}" if each.type else ""
            text += f"{space}except{kind}{' as ' + each.name if each.name else ''}:\n" + self._block(each.body, indent, change)
        for word, block in (("else", node.orelse), ("finally", node.finalbody)):
            if block:
                text += f"{space}{word}:\n" + self._block(block, indent, change)
        return text

    def _block(self, nodes: list, indent: int, change, always: bool = False) -> str:
        return self.body(nodes, indent + 4, change, always) or f"{' ' * indent}    pass\n"


def _namespaces(node) -> "list[Edit]":
    """At a module's top level locals() is what globals() is in the function here."""
    return [replace(each, "globals()") for each in ast.walk(node) if isinstance(each, ast.Call) and not each.args
            and getattr(each.func, "id", "") in ("locals", "vars")]


def _with_names(node, names):
    if isinstance(node, ast.Import):
        return ast.Import(names)
    return ast.ImportFrom(node.module, names, node.level)


