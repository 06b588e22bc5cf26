"""The order of the patch's objects: a module whose new names others import goes in before those."""
import ast

from klpfs.builder.read.modules import Module
from klpfs.builder.plan.planner import ModulePlan


def imported_from(module: Module, node: ast.ImportFrom) -> str:
    """The dotted name of the module that a from-import means."""
    if not node.level:
        return node.module or ""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    package = package[:len(package) - node.level + 1]
    return ".".join(package + ([node.module] if node.module else []))


def ordered(plans: "list[ModulePlan]") -> "list[ModulePlan]":
    """Sorted; a circle is cut where the names of modules say."""
    by_name = {plan.name: plan for plan in plans}
    by_name.update((module.name, plan) for plan in plans for module in plan.modules)
    found, under_way = [], set()

    def visit(plan):
        if plan in found or plan.name in under_way:
            return
        under_way.add(plan.name)
        for node in ast.walk(plan.new.tree) if plan.run or plan.parts else ():
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not node.col_offset:
                source = imported_from(plan.new, node) + "." if isinstance(node, ast.ImportFrom) else ""
                for each in (source[:-1], *(source + alias.name for alias in node.names)):
                    if each in by_name:
                        visit(by_name[each])
        found.append(plan)
    for plan in plans:
        visit(plan)
    return found
