"""The order of the patch's objects: a module whose new names others import goes in before those."""
from __future__ import annotations

import ast

from klpfs.builder.plan.plans import ModulePlan
from klpfs.builder.read.modules import Module
from klpfs.builder.syntax import IMPORTS


def imported_from(module: Module, node: ast.ImportFrom) -> str:
    """The dotted name of the module that a from-import means."""
    if not node.level:
        return node.module or ""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    package = package[:len(package) - node.level + 1]
    return ".".join(package + ([node.module] if node.module else []))


def ordered(plans: list[ModulePlan]) -> list[ModulePlan]:
    """The plans, those first whose modules the others import at their top level; a circle is cut at the plan that comes
    first."""
    by_name = {plan.name: plan for plan in plans}
    by_name.update((module.name, plan) for plan in plans for module in plan.new_modules)
    found: list[ModulePlan] = []
    under_way: set[str] = set()

    def visit(plan: ModulePlan) -> None:
        if plan in found or plan.name in under_way:
            return
        under_way.add(plan.name)
        for node in ast.walk(plan.new.tree) if plan.at_import else ():
            if isinstance(node, IMPORTS) and not node.col_offset:
                source = imported_from(plan.new, node) + "." if isinstance(node, ast.ImportFrom) else ""
                for name in (source[:-1], *(source + alias.name for alias in node.names)):
                    if name in by_name:
                        visit(by_name[name])
        found.append(plan)

    for plan in plans:
        visit(plan)
    return found
