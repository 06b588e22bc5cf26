"""OLD and NEW to the text of a livepatch: what `klpfs build` does, without its command line."""
import os
import tempfile
import typing

from attrs import define, field

from klpfs.builder.read import modules, sources
from klpfs.builder.write.patch_file import emit, Heading
from klpfs.builder.error import BuildError, NothingToDo
from klpfs.builder.plan.order import ordered
from klpfs.builder.plan.planner import ModulePlan, Refusal
from klpfs.builder.plan.package_plan import Program
from klpfs.builder.read.sources import Release, version_of


@define
class Result:
    """text: the livepatch, '' when something was refused and not allowed. plans: one a module. refused: what is not carried.
    notes: what is left as it is. warned: those of them that may matter."""

    text: str
    plans: "list[ModulePlan]"
    refused: "list[Refusal]" = field(factory=list)
    notes: "list[str]" = field(factory=list)
    warned: "list[str]" = field(factory=list)


def build(old: Release, new: Release, pythons: "typing.Sequence[str]", replace: bool = True, allow: bool = False,
          main: typing.Optional[str] = None) -> Result:
    """The livepatch that makes a program with OLD behave as with NEW.

    pythons: the interpreters that it is to fit. allow: what is refused is left out. main: the module
    that is the service's main program. BuildError: a source can't be read.
    NothingToDo: no Python code differs.
    """
    pairs = modules.pair(old, new)
    refused = [Refusal(path, f"{path} is compiled", "compiled code is not patched") for path in pairs.compiled]
    warned = [f"compiled {path} is another in NEW: it is not patched and stays as it is loaded" for path in pairs.rebuilt]
    plans = Program(pairs, pythons).plans()
    for plan in plans:
        refused += plan.refused
    notes = warned + [f"data file {path}: not carried" for path in pairs.data]
    notes += [f"module {each.name} is no more: it stays where it is loaded" for each in pairs.changed if each.new is None]
    tests = [path for path, where in new.tests.items() if path not in old.tests or modules.read(where) != modules.read(old.tests[path])]
    if tests:
        notes.append(f"{len(tests)} files in test folders differ: not carried ({tests[0]} ...)")
    notes += [note for plan in plans for note in plan.notes]
    if not plans and not refused:
        raise NothingToDo(f"{old.label} and {new.label}: no Python code differs" + (
            f" ({len(pairs.data + pairs.rebuilt)} other files do)" if pairs.data or pairs.rebuilt else ""))
    if refused and not allow:
        return Result("", plans, refused, notes, warned)
    plans = ordered(plans)
    heading = Heading(f"{old.label} -> {new.label}, by klpfs build.", version_of(new.label), replace, notes, main)
    return Result(emit(heading, plans), plans, refused, notes, warned)


def build_specs(old: str, new: str, pythons: "typing.Sequence[str]", installed: bool = False, **more) -> Result:
    """build() of what the command line names."""
    with tempfile.TemporaryDirectory(prefix="klpfs-build-") as scratch:
        folders = [os.path.join(scratch, each) for each in ("old", "new")]
        for each in folders:
            os.mkdir(each)
        if installed:
            was = sources.installed(sources.distribution_of(old), pythons[0])
        else:
            was = sources.find(old, folders[0], pythons[0])
        now = sources.find(new, folders[1], pythons[0])
        if os.path.isfile(old) and os.path.isfile(new) and old.endswith(".py") and new.endswith(".py"):
            now.files = {os.path.basename(old): new}  # one module, whatever its files are called
        return build(was, now, pythons, **more)


__all__ = ["BuildError", "NothingToDo", "Result", "build", "build_specs"]
