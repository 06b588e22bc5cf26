"""The livepatch's text: plain Python, upstream's own lines wherever they can stay."""
import ast
import textwrap
import typing

from attrs import define, field

from klpfs.builder.plan.caches import Cache
from klpfs.builder.write.function_text import function_text
from klpfs.builder.write.import_time_text import import_time_text, module_text
from klpfs.builder.read.modules import Module
from klpfs.builder.plan.planner import FuncPlan, ModulePlan
from klpfs.cpython.load.name_rewriter import mangle

_WIDTH = 120


@define
class Heading:
    """What the file says of itself. title: its first line. version: NEW's, or None. replace: cumulative. notes: lines. main: as
    build() has it."""

    title: str
    version: typing.Optional[str]
    replace: bool
    notes: "list[str]" = field(factory=list)
    main: typing.Optional[str] = None


_HOW = """Functions change together, each task at a moment when it runs none of them (atomic). What the of_... functions do is done when
the patch goes in, before any new code runs: old code sees it, too (at once). What `removed` names goes when the transition is
complete. All of it is taken back when the patch is disabled. Lines are those of the new version's files.

"""


class Names:
    """Names of the file's top level: each given once."""

    def __init__(self, taken: "typing.Iterable[str]" = ()):
        self.taken = set(taken)

    def new(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name


def emit(heading: Heading, plans: "list[ModulePlan]") -> str:
    """The whole file."""
    names = Names(("patch", "init", "exit", "Func", "ImportTime", "Object", "Patch", "later", "unchanged"))
    sections = [_Section(plan, names) for plan in plans]
    imports = ["Object", "Patch"]
    if any(plan.funcs for plan in plans):
        imports.append("Func")
    if any(each.callbacks for each in sections):
        imports.append("ImportTime")
    if any(plan.modules for plan in plans):
        imports.append("NewModule")
    if any(func.later for plan in plans for func in plan.funcs):
        imports.append("later")
    if any(func.kept for plan in plans for func in plan.funcs):
        imports.append("unchanged")
    head = [f'"""{heading.title}\n\n{_HOW}']
    for note in heading.notes:
        head.append(textwrap.fill(note, _WIDTH - 2, initial_indent="- ", subsequent_indent="  ", break_long_words=False,
                                  break_on_hyphens=False) + "\n")
    head.append('"""\n')
    if any(_future(plan) for plan in plans):
        head.append("from __future__ import annotations\n\n")
    head.append(f"from klpfs import {', '.join(sorted(imports))}\n")
    if heading.version:
        head.append(f"\n__version__ = {heading.version!r}\n")
    body = "".join(each.text for each in sections)
    return "".join(head) + body + _patch(heading, sections)


def _future(plan: ModulePlan) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.module == "__future__"
               and any(alias.name == "annotations" for alias in node.names) for node in plan.new.tree.body)


class _Section:
    """One module's part of the file: its new functions, what runs when it goes in, and its Object."""

    def __init__(self, plan: ModulePlan, names: Names):
        self.plan, self.names = plan, names
        self.references: "list[tuple[FuncPlan, str]]" = []
        rule = f"# {'-' * 20} {plan.name} ({plan.new.file}) "
        parts = [f"\n\n{rule:-<{_WIDTH}}\n"]
        parts += self._functions()
        self.callbacks = self._callbacks(parts)
        self.text = "".join(parts)

    def _functions(self) -> "list[str]":
        blocks: "dict[tuple[str, ...], list[FuncPlan]]" = {}
        for each in sorted(self.plan.funcs, key=lambda each: (each.node.lineno, each.definition.line)):
            blocks.setdefault(_classes(each), []).append(each)
        texts = []
        for classes, funcs in blocks.items():
            own = [self.names.new(classes[0])] + list(classes[1:]) if classes else []
            inside = Names()
            text = "\n" if own else ""
            for depth, name in enumerate(own):
                text += f"\n{'    ' * depth}class {name}:\n"
            for each in funcs:
                name = (inside if own else self.names).new(_wanted(each))
                text += "\n" if own and each is not funcs[0] else "\n\n" if not own else ""
                text += function_text(self.plan.new.source, each, name, 4 * len(own))
                self.references.append((each, ".".join(own + [mangle(name, own[-1] if own else None)])))
            texts.append(text)
        return texts

    def _callbacks(self, parts: "list[str]") -> str:
        plan = self.plan
        arguments, new = [], []
        for module in plan.modules:
            name = self.names.new("klp_new_" + module.name.replace(".", "_"))
            parts.append(f"\n\n# {module.name} is new: its top level, which runs when somebody imports it\n\n\n" + module_text(module, name, plan.stars))
            new.append(f"NewModule({module.name!r}, {name}{', package=True' if module.is_package else ''})")
        if plan.run or plan.parts:
            name = self.names.new("of_" + plan.name.replace(".", "_"))
            parts.append("\n\n" + import_time_text(plan, name))
            arguments.append(name)
        if plan.then:
            name = self.names.new("then_of_" + plan.name.replace(".", "_"))
            then = ModulePlan(plan.name, plan.old, plan.new, plan.change, run=plan.then, reasons=plan.reasons)
            parts.append("\n\n" + import_time_text(then, name, when="values that changed functions compute, made anew when the transition is complete"))
            arguments.append(f"then={name}")
        caches = [self._cache(each, module, parts) for each, module in plan.caches]
        if caches:
            arguments.append(f"caches=[{', '.join(caches)}]")
        for keyword in ("everywhere", "removed", "watch"):
            values = getattr(plan, keyword)
            if values and (keyword == "removed" or plan.run or plan.parts):
                arguments.append(f"{keyword}=[{', '.join(repr(each) for each in values)}]")
        if plan.refused:
            arguments += self._by_hand(parts)
        if new:
            arguments.append(f"modules=[{', '.join(new)}]")
        if not arguments:
            return ""
        return f"ImportTime({', '.join(arguments)})"

    def _by_hand(self, parts: "list[str]") -> "list[str]":
        """Stubs for what is not carried."""
        names = [self.names.new(each + self.plan.name.replace(".", "_")) for each in ("by_hand_", "back_by_hand_")]
        words = "".join(f"    # {each.place}: {each.what}: {each.why}\n" for each in self.plan.refused)
        parts.append(f"\n\ndef {names[0]}(obj):\n    # TO BE WRITTEN BY HAND: runs after of_..., before any new code\n{words}    pass\n")
        parts.append(f"\n\ndef {names[1]}(obj):\n    # TO BE WRITTEN BY HAND: takes it back\n    pass\n")
        return [f"before={names[0]}", f"after={names[1]}"]

    def _cache(self, cache: Cache, module: Module, parts: "list[str]") -> str:
        if not cache.making:
            return repr(cache.text)
        name = self.names.new("klp_make_" + cache.text.rpartition(".")[2].partition("=")[0].strip("_"))
        parts.append(f"\n\ndef {name}({cache.me}):\n    # how {module.name} makes it\n")
        parts += [module.source.block(each.lineno, each.end_lineno, 4) for each in cache.making]
        return f"({cache.text!r}, {name})"

    def object(self, main: typing.Optional[str]) -> str:
        name = "None" if self.plan.name == main else f'"{self.plan.name}"'
        lines = [f"        Object({name}"]
        if self.references:
            lines[-1] += ", funcs=["
            for func, reference in self.references:
                definition = func.definition
                position = f", {definition.sympos}" if definition.count > 1 else ""
                prints = definition.fingerprint.split()
                optional = ", optional=True" if func.optional else ""
                if not prints:
                    lines.append(f'            Func("{func.name}", {reference}{position}{optional}),')
                    continue
                shown = f"fingerprint={' '.join(prints)!r}" if len(prints) == 1 else \
                    "fingerprint=\n                 " + "\n                 ".join(
                        repr(each + " ") for each in prints[:-1]) + "\n                 " + repr(prints[-1])
                lines.append(f'            Func("{func.name}", {reference}{position},\n                 {shown}{optional}),')
            lines.append("        ]")
        if self.callbacks:
            shown = textwrap.fill(f"callbacks={self.callbacks}", _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12,
                                  break_long_words=False, break_on_hyphens=False)
            lines[-1] += ", " + shown.lstrip() if not self.references and "\n" not in shown else ",\n" + shown
        lines[-1] += "),"
        return "\n".join(lines) + "\n"


def _classes(func: FuncPlan) -> "tuple[str, ...]":
    """The class blocks that a function is written in."""
    path = func.name.split(".")[:-1]
    if "<locals>" in path:
        path = path[len(path) - path[::-1].index("<locals>"):]
    return tuple(path)


def _wanted(func: FuncPlan) -> str:
    name = func.name.rpartition(".")[2]
    for each in func.node.decorator_list:
        if isinstance(each, ast.Attribute) and each.attr in ("setter", "deleter"):
            return f"{name}_{each.attr}"
    return name


def _patch(heading: Heading, sections: "list[_Section]") -> str:
    objects = "".join(each.object(heading.main) for each in sections)
    return f"\n\npatch = Patch(\n    objects=[\n{objects}    ],\n    replace={heading.replace},\n)\n"
