"""Functions of a module that differ, carried by Funcs: themselves, closures of theirs that may be alive, and their
defaults."""
from __future__ import annotations

import ast

from klpfs.builder.compare.changes import FunctionChange, ScopeChange, function_differences
from klpfs.builder.compare.equivalence import dump
from klpfs.builder.compare.names_in_code import names_read
from klpfs.builder.compare.statements import FunctionStatement
from klpfs.builder.plan.closures import InnerFunction, changed_pairs, may_outlive_its_call, only_inner, prelude
from klpfs.builder.plan.plans import FuncPlan, ModulePlan
from klpfs.builder.read.old_definitions import Definition, free_variables, made_function
from klpfs.builder.syntax import FUNCTIONS, FunctionNode, default_nodes, flavour, type_params
from klpfs.cpython.raw import first_line


class FunctionPlanner:
    """Adds FuncPlans to a module's plan. definitions: old_definitions.definitions of OLD's module."""

    def __init__(self, plan: ModulePlan, definitions: list[Definition]) -> None:
        self.plan = plan
        self.by_place: dict[tuple[int, str], list[Definition]] = {}
        for definition in definitions:
            self.by_place.setdefault((definition.line, definition.name.rpartition(".")[2]), []).append(definition)
        self.free = free_variables(plan.new)
        self.conditional = conditional(plan.old.tree.body)

    def definition_of(self, name: str, old: FunctionNode) -> Definition | None:
        """OLD's definition of a function; None: its code has none at that place, or several."""
        found = [each for each in self.by_place.get((first_line(old), old.name), ()) if each.name == name]
        return found[0] if len(found) == 1 else None

    def _definition_or_refusal(self, name: str, old: FunctionNode, new: ast.AST) -> Definition | None:
        definition = self.definition_of(name, old)
        if definition is None:
            self.plan.refuse(new, f"function {name}", "its old definition is not found in OLD's code")
        return definition

    def changed(self, change: FunctionChange, changed_names: set[str]) -> None:
        """Plans a function that differs. changed_names: names of the module that have other values in NEW."""
        if "flavour" in change.what or change.what <= {"decorators", "conditions"}:
            return      # its statement runs: a new function object, or a new decorator of the old one
        plan, old, new = self.plan, change.old.node, change.new.node
        definition = self._definition_or_refusal(change.name, old, new)
        if definition is None:
            return
        if loops_for_ever(old):
            plan.notes.append(f"{change.name} of {plan.name} has a loop without an end: "
                              "who is inside keeps the transition pending")
        complete = self._live_closures(change, changed_names)
        if not complete or not only_inner(old, new, change.name) or change.what - {"conditions"} != {"body"}:
            what = ", ".join(sorted(change.what))
            plan.funcs.append(self._func(change.name, old, new, definition, changed_names, what))

    def _live_closures(self, change: FunctionChange, changed_names: set[str]) -> bool:
        """Plans functions in a function. Returns whether their Funcs carry all that changed in them."""
        complete = True
        for old, new in changed_pairs(change.old.node, change.new.node, change.name):
            definition = self._definition_or_refusal(old.name, old.node, new.node)
            if definition is None:
                continue
            held = set(definition.free)
            own = {parameter.name for parameter in type_params(new.node)}
            missing = self.free[first_line(new.node), new.node.name] - held - own - {"__class__"}
            if missing or flavour(old.node) != flavour(new.node):
                complete = False
            if complete or may_outlive_its_call(old):
                self._live_closure(old, new, definition, missing, changed_names)
        return complete

    def _live_closure(self, old: InnerFunction, new: InnerFunction, definition: Definition, missing: set[str],
                      changed_names: set[str]) -> None:
        """Plans one inner function. missing: variables that NEW's code uses, and that closures made before have not."""
        statements = prelude(new, missing, set(definition.free)) if missing else []
        if statements is None or flavour(old.node) != flavour(new.node):
            self.plan.closures.append((old.name, definition.line))
            why = "are of another kind" if statements is not None else f"have no variable '{sorted(missing)[0]}'"
            self.plan.notes.append(
                f"{old.name} of {self.plan.name}: functions made before (line {old.node.lineno}) {why} and can't get "
                "the new code: the load is refused while one is alive and no call of the function around is under way")
            return
        func = self._func(new.name, old.node, new.node, definition, changed_names, "live closures")
        func.prelude = statements
        self.plan.funcs.append(func)

    def new_defaults(self, scope: ScopeChange, statement: FunctionStatement, changed_names: set[str]) -> None:
        """Plans a function that does not differ, but whose defaults are made of changed names."""
        key = next(key for key, each in scope.new_scope.functions.items() if each is statement)
        old = scope.old_scope.functions.get(key)
        if old is None or function_differences(old.node, statement.node):
            return
        name = scope.qualified(statement.node.name)
        definition = self.definition_of(name, old.node)
        if definition is not None:
            self.plan.funcs.append(self._func(name, old.node, statement.node, definition, changed_names,
                                              "its defaults are others now"))

    def uses_renamed_attribute(self, name: str, old: FunctionNode, new: FunctionNode) -> None:
        """Plans a function that does not differ, but that uses an attribute which has another name in new code."""
        definition = self._definition_or_refusal(name, old, new)
        if definition is not None:
            self.plan.funcs.append(self._func(name, old, new, definition, set(), "uses another form"))

    def reads_together(self, name: str, old: FunctionNode, new: FunctionNode, definition: Definition,
                       value: str) -> None:
        """Plans a function that does not differ, but that reads a value which changes together with the functions."""
        self.plan.funcs.append(self._func(name, old, new, definition, set(), f"reads {value}"))

    def constructor(self, name: str, old: FunctionNode | None, new: ast.FunctionDef) -> None:
        """Plans a constructor that a class's decorator would make. old: OLD's, if its text has any."""
        definition = made_function(name, new.lineno) if old is None else self._definition_or_refusal(name, old, new)
        if definition is not None:
            self.plan.funcs.append(FuncPlan(name, new, definition, "made of the fields", generated=True))

    def _func(self, name: str, old: FunctionNode, new: FunctionNode, definition: Definition, changed_names: set[str],
              reason: str) -> FuncPlan:
        """A FuncPlan with what becomes of the defaults: the old object is kept, or the default is evaluated in the
        module."""
        func = FuncPlan(name, new, definition, reason, optional=first_line(old) in self.conditional)
        before = default_nodes(old.args)
        for parameter, node in default_nodes(new.args).items():
            if names_read(node) & changed_names:
                func.later_defaults.add(parameter)
            elif is_literal(node):
                continue
            elif parameter in before and dump(before[parameter]) == dump(node):
                func.kept_defaults.add(parameter)
            elif uses_names(node):
                func.later_defaults.add(parameter)
        return func


def conditional(body: list[ast.stmt], inside: bool = False) -> set[int]:
    """First lines of the functions that stand under a condition, themselves or with what they lie in."""
    found: set[int] = set()
    for node in body:
        if isinstance(node, FUNCTIONS):
            found |= ({first_line(node)} if inside else set()) | conditional(node.body, inside)
        elif isinstance(node, ast.ClassDef):
            found |= conditional(node.body, inside)
        elif isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
            for name in ("body", "orelse", "finalbody"):
                found |= conditional(getattr(node, name, []), inside or not isinstance(node, ast.With))
            for handler in getattr(node, "handlers", []):
                found |= conditional(handler.body, True)
    return found


def is_literal(node: ast.expr) -> bool:
    """An immutable value, as it stands."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp):
        return is_literal(node.operand)
    if isinstance(node, ast.BinOp):
        return is_literal(node.left) and is_literal(node.right)
    return isinstance(node, ast.Tuple) and all(map(is_literal, node.elts))


def uses_names(node: ast.expr) -> bool:
    """An expression that gives its value in its own module alone."""
    return any(isinstance(inner, (ast.Name, ast.Lambda)) for inner in ast.walk(node))


def loops_for_ever(node: ast.AST) -> bool:
    """A function with `while True` from which nothing but an exception leads out."""
    loops = [loop for loop in ast.walk(node)
             if isinstance(loop, ast.While) and isinstance(loop.test, ast.Constant) and loop.test.value]
    return any(not any(isinstance(inner, (ast.Break, ast.Return)) for inner in ast.walk(loop)) for loop in loops)
