"""Values of classes that the patch binds anew: whether code of the patch can have them by version (ByVersion)."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from klpfs.builder.compare.changes import ClassChange
from klpfs.builder.compare.statements import Statement
from klpfs.builder.plan import class_makers
from klpfs.builder.plan.plans import ModulePlan
from klpfs.builder.plan.table_uses import Known, is_no_table
from klpfs.builder.syntax import last_name

_ENUMS = frozenset(("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "ReprEnum"))
_READ_BY_C = re.compile(r"_(fields|pack|anonymous|type|length|as_parameter|flags|restype|swappedbytes)_$|__")

# usual names of variables that have classes
_OF_CLASSES = frozenset("cls klass kls class_ base parent kind typ type_ owner c k b".split())


def class_values(plan: ModulePlan) -> Iterator[tuple[ClassChange, str, Statement]]:
    """(class, name, statement) of the values of classes that the patch binds anew, definitions left out."""
    changes = {change.new: change for change in plan.change.walk() if isinstance(change, ClassChange)}
    changes.update({node: amended.change for node, amended in plan.at_import.classes_to_amend.items()})
    for change in changes.values():
        for statement in change.new_scope.statements:
            if statement in plan.at_import.statements_to_run and statement.kind == "statement":
                for name in sorted(statement.binds & change.old_scope.bound):
                    yield change, name, statement


def of_itself(plan: ModulePlan, change: ClassChange, name: str, statement: Statement, known_outside: Known) -> str:
    """Why a class's value can't be had by version, by the class and the statements that bind it; or ''. known_outside:
    says of names of the module whether their values are plainly no tables."""
    if _READ_BY_C.match(name):
        return "the interpreter reads it, or its name is the class's own"
    if any(node.decorator_list for node in (change.old, change.new)):
        return "a decorator of its class may read it"
    known = {node.name: node for node in plan.new.tree.body if isinstance(node, ast.ClassDef)}
    if change.new.keywords or class_makers.maker(change.new, known) not in ("", class_makers.UNKNOWN) or any(
            last_name(base) in _ENUMS for base in change.new.bases):
        return "what makes its class may read it"
    if any(each.used_any({name}) for scope in (change.old_scope, change.new_scope) for each in scope.statements):
        return "the block of its class reads it"
    if statement.changes_in_place() or not statement.assigns:
        return "it is made in several steps"
    values = {each for scope in (change.old_scope, change.new_scope) for each in scope.statements if name in each.binds}

    def known_value(other: str, called: bool) -> bool:
        return other not in change.new_scope.bound and known_outside(other, called)
    if not all(each.kind == "statement" and is_no_table(each.node, known_value) and not isinstance(
            getattr(each.node, "value", None), ast.Lambda) for each in values):
        return "it may be a table, or more than a value"
    return ""


def in_text(texts: dict[str, bytes], name: str) -> bool:
    """Whether a text of the package has a name in quotes: code may look it up by it."""
    quoted = re.compile(rb"""["']%s["']""" % name.encode())
    return any(quoted.search(text) for text in texts.values())


def stores_in_class(tree: ast.AST, name: str) -> bool:
    """Whether code binds an attribute of that name in what may be a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == name and not isinstance(node.ctx, ast.Load):
            base = node.value
            if not isinstance(base, ast.Name) or base.id == "cls" or not base.id[:1].islower():
                return True
    return False


def loads(tree: ast.AST, name: str) -> list[ast.AST]:
    """The places that read an attribute of that name, patterns (`case C(size=1)`) counted."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == name
            and isinstance(node.ctx, ast.Load) or name in getattr(node, "kwd_attrs", ())]


def reads_what_classes_hold(tree: ast.AST) -> bool:
    """Whether code has the `__dict__` of what may be a class: there the values are descriptors as long as a transition
    pends."""
    for node in ast.walk(tree):
        holder = None
        if isinstance(node, ast.Attribute) and node.attr == "__dict__":
            holder = node.value
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "vars" and node.args:
            holder = node.args[0]
        if isinstance(holder, ast.Name) and (holder.id in _OF_CLASSES or not holder.id[:1].islower()) or (
                isinstance(holder, ast.Call) and last_name(holder.func) == "type"
                or isinstance(holder, ast.Attribute) and holder.attr == "__class__"):
            return True
    return False
