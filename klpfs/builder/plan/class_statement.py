"""The changes of a class beside its body: bases, decorators, fields that become a constructor, the layout of its
objects.

All of it becomes lines for the function that ImportTime runs: inside the block of the class, or after it.
"""
from __future__ import annotations

import ast
import copy
from collections.abc import Iterable
from typing import Callable

from klpfs.builder.compare.changes import ClassChange
from klpfs.builder.compare.equivalence import dump
from klpfs.builder.compare.names_in_code import names_bound
from klpfs.builder.compare.statements import Scope
from klpfs.builder.plan import object_layout
from klpfs.builder.plan.constructors import compatible, parameters_of, written_constructor
from klpfs.builder.plan.dataclass_fields import annotated, maker_of, statement_text
from klpfs.builder.plan.object_layout import LackedAttribute
from klpfs.builder.plan.plans import ClassPlan
from klpfs.builder.syntax import FUNCTIONS

_GENERATED = ("__init__", "__repr__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__")
_FIRST_USE = "klp.first_use"


def plan_class(change: ClassChange, readers: Callable[[str], list[ast.Module]]) -> ClassPlan:
    """The plan of a class that differs. readers(attribute): NEW's syntax trees that mention an attribute of that
    name."""
    plan = ClassPlan(change)
    _layout(plan, readers)
    _statement(plan)
    _global_members(plan)
    return plan


def uses_of(attributes: Iterable[str], node: ast.AST) -> list[ast.Attribute]:
    """The places in a piece of code that use attributes of these names."""
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute) and inner.attr in attributes]


# ------------------------------------------------------------------------------------------------ objects' layout

def _layout(plan: ClassPlan, readers: Callable[[str], list[ast.Module]]) -> None:
    change = plan.change
    layout = object_layout.compare(change.old, change.new, readers, change.name)
    for lacked in layout.lacked:
        substitute = _substitute(lacked)
        plan.lines_inside.append(f"{lacked.name} = {substitute}  # objects made before have none")
        if substitute.startswith(_FIRST_USE):
            plan.notes.append(f"objects of {change.name} that got '{lacked.name}' at its first use keep it when the "
                              "patch is taken out")
    for converted in layout.converted:
        name = "klp_" + converted.name.lstrip("_")
        part = ", part=True" if converted.counts_rest else ""
        plan.lines_inside.append(f"{name} = klp.form({converted.name!r}, {list(converted.values)!r}{part})"
                                 "  # objects go on holding the old form")
        plan.renamed_attributes[converted.name] = name
    plan.refused += layout.refused


def _substitute(lacked: LackedAttribute) -> str:
    """The text of what the class has in the place of an attribute that its objects lack."""
    if lacked.value is None:
        return "klp.slot()"
    if lacked.is_slot:
        return f"klp.slot(lambda self: {lacked.source})"
    return f"klp.default({lacked.source})" if lacked.is_constant else f"{_FIRST_USE}(lambda self: {lacked.source})"


# -------------------------------------------------------------------------------------------------- the statement

def _statement(plan: ClassPlan) -> None:
    change = plan.change
    if maker_of(change.new) and (_field_texts(change.old) != _field_texts(change.new) or "decorators" in change.parts
                                 or not maker_of(change.old)):
        _generated(plan)
    elif "decorators" in change.parts:
        _decorators(plan)
    if "bases" in change.parts:
        _bases(plan)
    if "keywords" in change.parts:
        plan.refuse(f"class {change.name}: its keywords changed", "its metaclass runs only when a class is made")
    if "type parameters" in change.parts:
        plan.refuse(f"class {change.name}: its type parameters changed", "they are made only when a class is made")


def _bases(plan: ClassPlan) -> None:
    change = plan.change
    if all(ast.unparse(base) == "object" for base in change.old.bases):
        plan.refuse(f"class {change.name}: its bases changed", "CPython gives no bases to a class that had none")
        return
    bases = ", ".join(ast.unparse(base) for base in change.new.bases) or "object"
    plan.blocks_after.append(f"klp.bases({change.name}, {bases})\n")


def _global_members(plan: ClassPlan) -> None:
    """Plans what @enum.global_enum does when a class is made: its members are names of the module as well."""
    change = plan.change
    if not all(map(_is_global, (change.old, change.new))):
        return
    before, after = (_members(scope) for scope in (change.old_scope, change.new_scope))
    for name in after:
        if name not in before:
            plan.blocks_after.append(f"{name} = {change.name}.{name}\n")
            plan.names_after.add(name)
    plan.removed += [name for name in before if name not in after]


def global_members(statements: Iterable[ast.AST]) -> set[str]:
    """The names that @enum.global_enum binds in a module which has these statements."""
    return {name for node in statements if isinstance(node, ast.ClassDef) and _is_global(node)
            for statement in node.body if isinstance(statement, (ast.Assign, ast.AnnAssign))
            for name in names_bound(statement) if not name.startswith("_")}


def _is_global(node: ast.ClassDef) -> bool:
    return any(ast.unparse(each) in ("global_enum", "enum.global_enum") for each in node.decorator_list)


def _members(scope: Scope) -> list[str]:
    return [name for statement in scope.statements if statement.assigns for name in sorted(statement.binds)
            if not name.startswith("_")]


def _decorators(plan: ClassPlan) -> None:
    change = plan.change
    before = [dump(decorator) for decorator in change.old.decorator_list]
    after = [dump(decorator) for decorator in change.new.decorator_list]
    if after[len(after) - len(before):] != before:
        plan.refuse(f"class {change.name}: its decorators changed", "what the old ones did can't be taken back")
        return
    for decorator in reversed(change.new.decorator_list[:len(after) - len(before)]):
        plan.blocks_after.append(f"klp.decorated({change.name}, {ast.unparse(decorator)})\n")


# --------------------------------------------------------------------------------- fields that make a constructor

def _field_texts(node: ast.ClassDef) -> list[str]:
    return [f"{name}: {statement_text(field)}" for name, field in annotated(node).items()]


def _generated(plan: ClassPlan) -> None:
    """Plans a class whose methods a decorator makes of its fields: they are made anew, and the constructor where it
    must be."""
    change, new = plan.change, plan.change.new
    written = {node.name for node in new.body if isinstance(node, FUNCTIONS)}
    plan.generated_names |= {name for name in _GENERATED if name not in written}
    options = ""
    if "__init__" not in written:
        before, after = parameters_of(change.old), parameters_of(new)
        if before is None or after is None or not compatible(before, after):
            plan.constructor = written_constructor(new)
            if plan.constructor is None:
                plan.refuse(f"class {change.name}: its fields changed", "old code could not call its new constructor")
                return
            options = "(init=False)"
    skeleton = ast.unparse(ast.fix_missing_locations(_skeleton(new)))
    plan.blocks_after.append(f"@klp.generated{options}\n{skeleton}\n")


def _skeleton(node: ast.ClassDef) -> ast.ClassDef:
    """The class with its fields, and with methods that say no more than that they exist."""
    skeleton = copy.deepcopy(node)
    statements, skeleton.body = skeleton.body, []
    for statement in statements:
        if isinstance(statement, FUNCTIONS):
            if not any(isinstance(decorator, ast.Attribute) and decorator.attr in ("default", "validator")
                       for decorator in statement.decorator_list):
                statement.decorator_list = []
                statement.body = [ast.Expr(ast.Constant(...))]
                statement.returns = None
                statement.args = ast.arguments([], [], ast.arg("_"), [], [], None, [])
            skeleton.body.append(statement)
        elif isinstance(statement, (ast.AnnAssign, ast.Assign)):
            skeleton.body.append(statement)
    skeleton.body = skeleton.body or [ast.Pass()]
    return skeleton
