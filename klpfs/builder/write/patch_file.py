"""The livepatch's text: plain Python, upstream's own lines wherever they can stay."""
from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Sequence

from attrs import define, field

from klpfs.builder.plan.plans import Cache, Carried, FuncPlan, ModulePlan
from klpfs.builder.read.modules import Module
from klpfs.builder.write.function_text import function_text
from klpfs.builder.write.import_time_text import at_import_text, new_module_text, when_complete_text
from klpfs.cpython.load.scopes import mangle

_WIDTH = 120


@define
class Heading:
    """The words of the file about itself. title: its first line. version: NEW's, or None. replace: the patch is
    cumulative. notes: lines. main: the module that is the service's main program, or None."""

    title: str
    version: str | None
    replace: bool
    notes: list[str] = field(factory=list)
    main: str | None = None


_HOW = (
    "Functions change together, each task at a moment when it runs none of them (atomic). "
    "What the of_... functions do is done when\n"
    "the patch goes in, before any new code runs: old code sees it, too (at once), but for the values that `together` "
    "names: old\ncode has their old value, new code the new one, and who else reads them gets it when all is new. "
    "What `removed` names goes\nwhen the transition is complete. All of it is taken back when the patch is disabled, "
    "but for what is said below.\nLines are those of the new version's files.\n\n")


class Names:
    """Names of the file's top level, each given once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)

    def new(self, wanted: str) -> str:
        """The wanted name, or that name with a number."""
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name


def emit(heading: Heading, plans: list[ModulePlan], carried: Sequence[Carried] = ()) -> str:
    """The whole file. carried: values of objects that are alive, also of modules that are not planned."""
    names = Names(("patch", "init", "exit", "ABSENT", "CodeOf", "Func", "ImportTime", "Keys", "Named", "Object",
                   "Patch", "later", "unchanged"))
    by_module: dict[str, list[Carried]] = {}
    for each in carried:
        by_module.setdefault(each.module, []).append(each)
    sections = [_Section(plan, names, by_module.pop(plan.name, [])) for plan in plans]
    head = [f'"""{heading.title}\n\n{_HOW}']
    for note in heading.notes:
        head.append(textwrap.fill(note, _WIDTH - 2, initial_indent="- ", subsequent_indent="  ", break_long_words=False,
                                  break_on_hyphens=False) + "\n")
    head.append('"""\n')
    if any(_postpones_annotations(plan) for plan in plans):
        head.append("from __future__ import annotations\n\n")
    used = _imports(plans, sections) | _names_in(carried) | ({"ImportTime"} if by_module else set())
    head.append(f"from klpfs import {', '.join(sorted(used))}\n")
    if heading.version:
        head.append(f"\n__version__ = {heading.version!r}\n")
    return "".join(head) + "".join(section.text for section in sections) + _patch(
        heading, sections, by_module)


def _imports(plans: list[ModulePlan], sections: list[_Section]) -> set[str]:
    """The names of klpfs that the file uses."""
    funcs = [func for plan in plans for func in plan.funcs]
    used = {"Func": funcs, "ImportTime": [section for section in sections if section.callbacks],
            "NewModule": [plan for plan in plans if plan.new_modules],
            "later": [func for func in funcs if func.later_defaults],
            "unchanged": [func for func in funcs if func.kept_defaults]}
    return {"Object", "Patch"} | {name for name, uses in used.items() if uses}


def _names_in(carried: Iterable[Carried]) -> set[str]:
    text = " ".join(f"{each.was} {each.becomes}" for each in carried)
    return {name for name in ("ABSENT", "CodeOf", "Keys", "Named") if re.search(rf"\b{name}\b", text)}


def _postpones_annotations(plan: ModulePlan) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.module == "__future__"
               and any(alias.name == "annotations" for alias in node.names) for node in plan.new.tree.body)


class _Section:
    """The part of the file that a module has: its new functions, what runs when it goes in, and its Object.

    text: all of it but the Object. references: (function, its dotted name in the file). callbacks: text of the
    ImportTime, or ''. """

    def __init__(self, plan: ModulePlan, names: Names, carried: list[Carried]) -> None:
        self.plan, self.names, self.carried = plan, names, carried
        self.references: list[tuple[FuncPlan, str]] = []
        title = f"# {'-' * 20} {plan.name} ({plan.new.file}) "
        self._parts = [f"\n\n{title:-<{_WIDTH}}\n"]
        self._functions()
        arguments = self._arguments()
        self.callbacks = f"ImportTime({', '.join(arguments)})" if arguments else ""
        self.text = "".join(self._parts)

    def _functions(self) -> None:
        """Writes the new functions, methods of one class in one block."""
        blocks: dict[tuple[str, ...], list[FuncPlan]] = {}
        for func in sorted(self.plan.funcs, key=lambda each: (each.node.lineno, each.definition.line)):
            blocks.setdefault(_classes(func), []).append(func)
        for classes, funcs in blocks.items():
            if classes:
                self._class_block(classes, funcs)
            for func in funcs if not classes else ():
                name = self.names.new(_wanted_name(func))
                self._parts.append("\n\n" + function_text(self.plan, func, name, 0))
                self.references.append((func, name))

    def _class_block(self, classes: tuple[str, ...], funcs: list[FuncPlan]) -> None:
        path = [self.names.new(classes[0]), *classes[1:]]
        inside = Names()
        text = "\n" + "".join(f"\n{'    ' * depth}class {name}:\n" for depth, name in enumerate(path))
        for func in funcs:
            name = inside.new(_wanted_name(func))
            text += ("\n" if func is not funcs[0] else "") + function_text(self.plan, func, name, 4 * len(path))
            self.references.append((func, ".".join([*path, mangle(name, path[-1])])))
        self._parts.append(text)

    def _arguments(self) -> list[str]:
        """Writes what runs when the patch goes in. Returns the arguments of the ImportTime that calls it."""
        plan, parts = self.plan, self._parts
        new_modules = [self._new_module(module) for module in plan.new_modules]
        arguments = []
        if plan.at_import:
            name = self._name("of_", plan.name)
            parts.append("\n\n" + at_import_text(plan, name))
            arguments.append(name)
        if plan.when_complete:
            name = self._name("then_of_", plan.name)
            parts.append("\n\n" + when_complete_text(plan, name))
            arguments.append(f"then={name}")
        arguments += _keyword("caches", [self._cache(cache) for cache in plan.caches])
        if plan.at_import:
            arguments += _keyword("everywhere", map(repr, plan.rebind_copies_of))
        arguments += _keyword("removed", map(repr, plan.removed_names))
        arguments += _keyword("closures", map(repr, plan.closures))
        if plan.at_import:
            arguments += _keyword("watch", map(repr, plan.watched_names))
        arguments += _keyword("together", map(repr, plan.together))
        if plan.refused:
            arguments += self._by_hand()
        arguments += _keyword("carried", [each.text for each in self.carried])
        return arguments + _keyword("modules", new_modules)

    def _name(self, prefix: str, module: str) -> str:
        return self.names.new(prefix + module.replace(".", "_"))

    def _new_module(self, module: Module) -> str:
        """Writes a module that only NEW has. Returns its NewModule."""
        name = self._name("klp_new_", module.name)
        self._parts.append(f"\n\n# {module.name} is new: its top level, which runs when somebody imports it\n\n\n"
                           + new_module_text(module, name, self.plan.at_import.star_names))
        return f"NewModule({module.name!r}, {name}{', package=True' if module.is_package else ''})"

    def _by_hand(self) -> list[str]:
        """Writes stubs for what is not carried. Returns the arguments that call them."""
        names = [self.names.new(prefix + self.plan.name.replace(".", "_")) for prefix in ("by_hand_", "back_by_hand_")]
        words = "".join(f"    # {refusal.place}: {refusal.what}: {refusal.why}\n" for refusal in self.plan.refused)
        self._parts.append(f"\n\ndef {names[0]}(obj):\n"
                           f"    # TO BE WRITTEN BY HAND: runs after of_..., before any new code\n{words}    pass\n")
        self._parts.append(f"\n\ndef {names[1]}(obj):\n    # TO BE WRITTEN BY HAND: takes it back\n    pass\n")
        return [f"before={names[0]}", f"after={names[1]}"]

    def _cache(self, cache: Cache) -> str:
        """Writes the function that fills a cache, if it needs any. Returns the cache as ImportTime has it."""
        if not cache.making:
            return repr(cache.text)
        name = self.names.new("klp_make_" + cache.text.rpartition(".")[2].partition("=")[0].strip("_"))
        self._parts.append(f"\n\ndef {name}({cache.holder}):\n    # how {cache.module.name} makes it\n")
        self._parts += [cache.module.source.statement(statement, 4) for statement in cache.making]
        return f"({cache.text!r}, {name})"

    def object_text(self, main: str | None) -> str:
        """The Object, in the Patch's list. main: as Heading has it."""
        name = "None" if self.plan.name == main else f'"{self.plan.name}"'
        lines = [f"        Object({name}"]
        if self.references:
            lines[-1] += ", funcs=["
            lines += [_func_text(func, reference) for func, reference in self.references]
            lines.append("        ]")
        if self.callbacks:
            shown = _callbacks_text(self.callbacks, self.carried)
            lines[-1] += ", " + shown.lstrip() if not self.references and "\n" not in shown else ",\n" + shown
        lines[-1] += "),"
        return "\n".join(lines) + "\n"


def _callbacks_text(callbacks: str, carried: list[Carried]) -> str:
    """The argument `callbacks` of an Object, in lines."""
    if carried:         # texts have blanks of their own: each value has its line
        before, after = callbacks.split(carried[0].text, 1)[0], callbacks.rpartition(carried[-1].text)[2]
        values = "".join(f"\n{' ' * 12}{each.text}," for each in carried)
        return f"{' ' * 8}callbacks={before}{values}\n{' ' * 8}{after}"
    return textwrap.fill(f"callbacks={callbacks}", _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12,
                         break_long_words=False, break_on_hyphens=False)


def _keyword(name: str, values: Iterable[str]) -> list[str]:
    """The keyword argument with a list of values, as a list; [] without any value."""
    shown = ", ".join(values)
    return [f"{name}=[{shown}]"] if shown else []


def _func_text(func: FuncPlan, reference: str) -> str:
    """A Func, in the Object's list."""
    definition = func.definition
    position = f", {definition.sympos}" if definition.count > 1 else ""
    optional = ", optional=True" if func.optional else ""
    prints = definition.fingerprint.split()
    if not prints:
        return f'            Func("{func.name}", {reference}{position}{optional}),'
    shown = [repr(each + " ") for each in prints[:-1]] + [repr(prints[-1])]
    if len(shown) > 1:
        shown.insert(0, "")
    fingerprint = "fingerprint=" + "\n                 ".join(shown)
    return f'            Func("{func.name}", {reference}{position},\n                 {fingerprint}{optional}),'


def _classes(func: FuncPlan) -> tuple[str, ...]:
    """The class blocks that a function is written in."""
    path = func.name.split(".")[:-1]
    if "<locals>" in path:
        path = path[len(path) - path[::-1].index("<locals>"):]
    return tuple(path)


def _wanted_name(func: FuncPlan) -> str:
    """A function's name in the file, if it is free: its own, with what its decorator makes of it."""
    name = func.name.rpartition(".")[2]
    for decorator in func.node.decorator_list:
        if isinstance(decorator, ast.Attribute) and decorator.attr in ("setter", "deleter"):
            return f"{name}_{decorator.attr}"
    return name


def _patch(heading: Heading, sections: list[_Section], others: dict[str, list[Carried]]) -> str:
    """others: what is carried in modules that have no section."""
    objects = "".join(section.object_text(heading.main) for section in sections
                      if section.references or section.callbacks)
    for module, carried in others.items():
        name = "None" if module == heading.main else f'"{module}"'
        callbacks = f"ImportTime({', '.join(_keyword('carried', [each.text for each in carried]))})"
        objects += f"        Object({name},\n{_callbacks_text(callbacks, carried)}),\n"
    return f"\n\npatch = Patch(\n    objects=[\n{objects}    ],\n    replace={heading.replace},\n)\n"
