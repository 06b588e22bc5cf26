"""The differences between what objects made before a patch hold and what the new code of their class expects of them.

compare() follows the constructors of a class in OLD and in NEW, without running them: the value of an attribute is an
expression of the parameters, of other attributes and of globals. From that it says how an attribute that old objects
lack can be had from what they do hold, as the source of a function of the object. An attribute of which nothing can be
said is refused, by line. """
from __future__ import annotations

import ast
import copy
from collections.abc import Iterable
from typing import Any, Callable

from attrs import define, field, frozen

from klpfs.builder.compare.names_in_code import names_bound
from klpfs.builder.plan.attribute_forms import changed_form, is_immutable
from klpfs.builder.plan.attribute_uses import uses
from klpfs.builder.plan.dataclass_fields import (
    annotated,
    default_of,
    falsy_default,
    is_described,
    may_have_fields,
    shape,
)
from klpfs.builder.plan.followed_constructors import Attributes, Unknown, constructed
from klpfs.builder.plan.passed_on import is_read, passed_on
from klpfs.builder.plan.plans import Refusal
from klpfs.builder.syntax import DEFINITIONS, default_nodes
from klpfs.cpython.load.scopes import mangle

Readers = Callable[[str], Iterable[ast.Module]]     # attribute -> NEW's modules that may read it


@frozen
class LackedAttribute:
    """An attribute that old objects lack. value: its expression: a constant, or made of `self` and globals; None: no
    value before a method sets it. is_slot: the objects have no place for it."""

    name: str
    value: ast.expr | None
    is_slot: bool = False

    @property
    def is_constant(self) -> bool:
        """The value is the same immutable object for every object: an attribute of the class will do."""
        return self.value is not None and is_immutable(self.value)

    @property
    def source(self) -> str:
        """The text of the value's expression."""
        return "" if self.value is None else ast.unparse(self.value)


@frozen
class ConvertedAttribute:
    """An attribute of another type. values: (old, new) constants that stand for each other. counts_rest: OLD's number
    is how much is left of NEW's text: klp.form's `part`."""

    name: str
    values: tuple[tuple[Any, Any], ...]
    counts_rest: bool = False


@define
class Layout:
    """The differences of one class's objects, by how they are carried."""

    lacked: list[LackedAttribute] = field(factory=list)
    converted: list[ConvertedAttribute] = field(factory=list)
    refused: list[Refusal] = field(factory=list)

    def __bool__(self) -> bool:
        return bool(self.lacked or self.converted or self.refused)


def compare(old: ast.ClassDef, new: ast.ClassDef, readers: Readers = lambda attribute: (), name: str = "") -> Layout:
    """How objects of `old` come to have what code of `new` expects. Both are definitions of one class, called `name`.

    readers(attribute): NEW's syntax trees, of the whole package, in which an attribute of that name may be read; asked
    for attributes that no old object has anything for. """
    return _Comparison(old, new, readers, name or new.name).layout()


class _Comparison:
    """Two versions of a class. before, after: what their constructors set. held: names that old objects have a value
    for."""

    def __init__(self, old: ast.ClassDef, new: ast.ClassDef, readers: Readers, name: str) -> None:
        self.old, self.new, self.readers, self.name = old, new, readers, name
        self.before, self.after = constructed(old), constructed(new)
        self.held = set(self.before) | class_names(old)
        self.class_names = class_names(new)
        old_slots = slots(old)
        self.no_place = old_slots is not None and "__dict__" not in old_slots
        self.found = Layout()

    def layout(self) -> Layout:
        for name, (value, line) in self.after.items():
            if name not in self.held and name not in self.class_names:
                self.attribute(name, value, line)
        before = passed_on(self.old)
        for name, line in passed_on(self.new).items():
            if name not in before and name not in self.after and is_read(self.readers(name), name):
                self.refuse(f"'{name}' is passed on to the constructor of its base now: objects made before have what "
                            "that made without it", line)
        if self.no_place:
            self.slots_set_later()
        if may_have_fields(self.new):
            self.fields()
        self.forms()
        return self.found

    def refuse(self, why: str, line: int) -> None:
        self.found.refused.append(Refusal(f"class {self.name}", why, line))

    def attribute(self, name: str, value: ast.expr | None, line: int) -> None:
        """An attribute that old objects lack. value: what NEW's constructor sets, or None."""
        carried = (self.from_old(value) if value is not None else None) or _first_constant(self.new, name)
        if carried is None:
            trees = list(self.readers(name))
            if trees and all(uses(trees, name)):
                carried = ast.Constant(None)    # NEW only asks whether it is true, and for OLD's objects it is not
        if carried is None:
            self.refuse(f"'{name}' is new, and objects made before have nothing that it could be had from", line)
        else:
            self.found.lacked.append(LackedAttribute(name, carried, self.no_place))

    def slots_set_later(self) -> None:
        """New slots that a method sets, later: objects have no value before."""
        known = {*(slots(self.old) or ()), *self.after, *self.held, "__dict__", "__weakref__"}
        self.found.lacked += [LackedAttribute(name, None, True) for name in sorted(set(slots(self.new) or ()) - known)]

    def fields(self) -> None:
        """New fields of a dataclass: another field with a new name, or their default, or what a test takes for 'not
        so'."""
        before, after = annotated(self.old), annotated(self.new)
        gone = {name: shape(statement) for name, statement in before.items() if name not in after}
        came = {name: shape(statement) for name, statement in after.items() if name not in before}
        for name in came:
            if name in self.held:
                continue
            statement, old_names = after[name], [old for old in gone if gone[old] == came[name]]
            value: ast.expr | None
            if len(old_names) == 1 == list(came.values()).count(came[name]):
                value = ast.Attribute(ast.Name("self", ast.Load()), old_names[0], ast.Load())
            elif statement.value is not None and not is_described(statement.value):
                continue    # an attribute of the class, as any other
            else:
                value = self.of_block(default_of(statement.value)) or falsy_default(statement, name, self.readers)
            if value is None:
                self.refuse(f"the new field '{name}' has no default that objects made before could have",
                            statement.lineno)
            else:
                self.found.lacked.append(LackedAttribute(name, ast.fix_missing_locations(value)))

    def of_block(self, value: ast.expr | None) -> ast.expr | None:
        """An expression of the class's block, to be evaluated elsewhere: names of the block are attributes of the
        class."""
        return None if value is None else _OfBlock(self.new, self.name).visit(copy.deepcopy(value))

    def forms(self) -> None:
        """Attributes that both versions set, to values of other types."""
        for name in self.before:
            before, after = self.before[name][0], self.after.get(name, (None, 0))[0]
            form = None if before is None or after is None else changed_form(self.old, self.new, name, before, after)
            if form is None:
                continue
            if form.why_not:
                self.refuse(form.why_not, self.after[name][1])
            else:
                self.found.converted.append(ConvertedAttribute(name, tuple(form.values), form.counts_rest))

    def from_old(self, value: ast.expr) -> ast.expr | None:
        """An expression with NEW's parameters replaced by what an old object still knows of them; None: it does not."""
        for name, (known, _) in self.before.items():
            if known is not None and not is_immutable(known) and ast.dump(known) == ast.dump(value):
                return self.held_value(name)   # the same, under another name
        try:
            found: ast.expr = _OfOld(self).visit(copy.deepcopy(value))
        except Unknown:
            return None
        return ast.fix_missing_locations(found)

    def held_value(self, name: str) -> ast.expr:
        """The expression of what old objects hold under a name. Where NEW's class gives the name another meaning, it is
        in their dict."""
        text = f"self.__dict__[{name!r}]" if name in self.class_names else f"self.{name}"
        return ast.parse(text, mode="eval").body


class _OfOld(ast.NodeTransformer):
    """Replaces parameters of NEW's constructor by attributes that hold OLD's, or by their defaults."""

    def __init__(self, comparison: _Comparison) -> None:
        self.held_value, self.of_block = comparison.held_value, comparison.of_block
        self.old, self.new = parameters(comparison.old), parameters(comparison.new)
        self.keepers = _keepers(comparison.before, self.old)
        for before, after in zip(self.old, self.new):  # a parameter that has another name at its place
            if before not in self.new and after not in self.old and before in self.keepers:
                self.keepers[after] = self.keepers[before]

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id.startswith("*"):
            raise Unknown
        if node.id not in self.new:
            return node
        if node.id in self.keepers:
            return self.held_value(self.keepers[node.id])
        default = self.new[node.id]
        evaluated = self.of_block(default)
        if node.id in self.old or evaluated is None:
            raise Unknown
        return evaluated


class _OfBlock(ast.NodeTransformer):
    """Replaces names that a class's block binds by attributes of the class. name: the class's, qualified.

    The bodies of lambdas and comprehensions do not see the block's names; what a comprehension goes through first does.
    """

    def __init__(self, node: ast.ClassDef, name: str) -> None:
        self.owner, self.name = node.name, name
        self.bound = {bound for statement in node.body for bound in names_bound(statement)}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.bound:
            return node
        return ast.parse(f"{self.name}.{mangle(node.id, self.owner)}", mode="eval").body

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        node.args = self.generic_visit(node.args)       # type: ignore[assignment]
        return node

    def comprehension(self, node: Any) -> Any:
        """What it goes through first."""
        node.generators[0].iter = self.visit(node.generators[0].iter)
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension


def _keepers(attributes: Attributes, parameters: dict[str, ast.expr | None]) -> dict[str, str]:
    """{parameter: the attribute that holds what it was given}."""
    keepers: dict[str, str] = {}
    for name, (value, _) in attributes.items():
        if isinstance(value, ast.Name) and value.id in parameters:
            keepers.setdefault(value.id, name)
    return keepers


def parameters(node: ast.ClassDef) -> dict[str, ast.expr | None]:
    """{parameter of __init__: its default, or None} without self; all parameters that can be given by name."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            args = method.args
            names = [arg.arg for arg in (args.posonlyargs + args.args)[1:] + args.kwonlyargs]
            return {**dict.fromkeys(names), **default_nodes(args)}
    return {}


def class_names(node: ast.ClassDef) -> set[str]:
    """Names that a class block binds to a value."""
    found = {statement.name for statement in node.body if isinstance(statement, DEFINITIONS)}
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            found.update(target.id for target in statement.targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found.add(statement.target.id)
    return found


def slots(node: ast.ClassDef) -> tuple[str, ...] | None:
    """The names of a class's __slots__; None: it has none, or they can't be read."""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == "__slots__" for target in statement.targets):
            try:
                found = ast.literal_eval(statement.value)
            except ValueError:
                return None
            return (found,) if isinstance(found, str) else tuple(found)
    return None


def _first_constant(node: ast.ClassDef, name: str) -> ast.expr | None:
    """The constant that __init__ gives an attribute before anything else happens to the object; None: the value is no
    constant."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            for statement in method.body:
                if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
                    continue
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                if statement.value is not None and is_immutable(statement.value) and any(
                        isinstance(target, ast.Attribute) and target.attr == name and isinstance(target.value, ast.Name)
                        for target in targets):
                    return statement.value
    return None
