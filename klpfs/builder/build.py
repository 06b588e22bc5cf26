"""OLD and NEW to the text of a livepatch: what `klpfs build` does, without its command line."""
from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Container, Sequence
from typing import Any

from attrs import define, field

from klpfs.builder.error import BuildError, NothingToDo
from klpfs.builder.plan.machine_readers import machine_is_read
from klpfs.builder.plan.order import ordered
from klpfs.builder.plan.package_plan import PackagePlanner
from klpfs.builder.plan.plans import Carried, ModulePlan, Refusal
from klpfs.builder.read import modules, sources
from klpfs.builder.read.data_readers import readers_of_data
from klpfs.builder.read.requirements import new_wishes
from klpfs.builder.read.sources import Release, version_of
from klpfs.builder.verify.seeds import seeds_of
from klpfs.builder.verify.texts import texts_differ
from klpfs.builder.verify.verify import NoProof, Proof, Verifier
from klpfs.builder.write.compile_check import uncompilable
from klpfs.builder.write.patch_file import Heading, emit

_ROUNDS = 3     # in which what differs is carried
_MOST_NAMED = 20


@define
class Result:
    """A build. text: the livepatch, '' when something was refused and not allowed, or can't be written. plans: of all
    modules in the patch.

    refused: changes that are not carried. notes: what is left as it is. warned: those notes that may matter.
    """

    text: str
    plans: list[ModulePlan]
    refused: list[Refusal] = field(factory=list)
    notes: list[str] = field(factory=list)
    warned: list[str] = field(factory=list)


def build(old: Release, new: Release, pythons: Sequence[str], replace: bool = True, allow: bool = False,
          main: str | None = None, verify: bool = False, levels: Sequence[int] = (0,),
          seeds: Sequence[str] = ()) -> Result:
    """The livepatch that makes a program with OLD behave as with NEW.

    pythons: the interpreters that the patch is to fit. replace: the patch takes the place of earlier ones. allow: the
    rest is written when changes are refused. main: the module that is the service's main program. verify: each of the
    pythons imports both releases and shows that the patch makes one into the other, run at each of the levels (1: -O,
    2: -OO), beside the objects that the seeds make (verify/seeds.py). BuildError: a source can't be read. NothingToDo:
    no Python code differs; where texts do, each of the pythons shows that they make the same.

    Where functions that became part of the patch for the values that they read are refused, all values are there at
    once instead. """
    options: dict[str, Any] = {"replace": replace, "allow": allow, "main": main, "verify": verify, "levels": levels,
                               "seeds": seeds_of(seeds)}
    result = _build(old, new, pythons, True, **options)
    planned = [refusal for plan in result.plans for refusal in plan.refused]
    if any(refusal not in planned for refusal in result.refused) and any(plan.together for plan in result.plans):
        other = _build(old, new, pythons, False, **options)
        if len(other.refused) < len(result.refused):
            return other
    return result


def _build(old: Release, new: Release, pythons: Sequence[str], together: bool, replace: bool, allow: bool,
           main: str | None, verify: bool, levels: Sequence[int], seeds: list[tuple[str, str]]) -> Result:
    """As build. together: values change together with the functions where they can."""
    pairs = modules.pair(old, new, pythons)
    planner = PackagePlanner(pairs, pythons, together)
    plans = planner.plans()
    for plan in plans:
        plan.settle_gone(verify)
    refused = [Refusal(f"{path} is compiled", "compiled code is not patched", path=path) for path in pairs.compiled]
    gone = {pair.name for pair in pairs.changed if pair.new is None}
    refused += [Refusal(f"module {pair.name}", "it becomes a package, or is one no more: what is loaded stays as it is",
                        path=pair.new.path) for pair in pairs.changed if pair.new is not None and pair.name in gone]
    refused += [refusal for plan in plans for refusal in plan.refused]
    readers = readers_of_data(pairs)
    read_data = [f"data file {entry}: not carried, and {where} reads it" for entry, where in readers.items()]
    wishes = new_wishes(old.requires, new.requires)
    warned = [f"compiled {path} is another in NEW: it is not patched and stays as it is loaded"
              for path in pairs.rebuilt] + read_data + wishes
    annotations = [f"annotations that differ are not carried: "
                   f"{file}{', '.join(f':{line} {words}' for line, words in found)}"
                   for file, found in planner.annotations.items()]
    notes = warned + _notes(pairs, readers) + [note for plan in plans for note in plan.notes] + annotations
    nothing = not plans and not refused
    said = "no Python code differs" + (
        f" ({len(pairs.data + pairs.rebuilt)} other files do)" if pairs.data or pairs.rebuilt else "")
    to_show = nothing and texts_differ(pairs)
    if nothing and not (verify and to_show):
        raise NothingToDo(f"{old.label} and {new.label}: {'as far as the text says, ' if to_show else ''}" + "; ".join(
            [said, *read_data, *wishes, *annotations]))
    if refused and not allow:
        return Result("", plans, refused, notes, warned)
    plans = ordered(plans)
    heading = Heading(f"{old.label} -> {new.label}, by klpfs build.", version_of(new.label), replace, notes, main)
    text = emit(heading, plans)
    broken = uncompilable(text, plans, pythons)
    if verify and not broken:
        try:
            carried, proofs = _verified(heading, plans, [
                Verifier(plans, old, new, python, level, main=main, seeds=seeds)
                for python in pythons for level in levels])
        except (NoProof, OSError) as error:
            why = str(error) if isinstance(error, NoProof) else f"no proof, the releases can't be laid out: {error}"
            raise BuildError(f"{why} (--no-verify writes what nobody has verified)") from None
        named = _named(carried)
        warned += named
        notes += named
        if nothing and not carried and not any(proof.refused for proof in proofs):
            raise NothingToDo(f"{old.label} and {new.label}: " + "; ".join(dict.fromkeys([
                said, *annotations, *(note for proof in proofs for note in proof.warned + proof.notes)])))
        for proof in proofs:
            refused += proof.refused
            warned += proof.warned
            notes += proof.warned + proof.notes
        heading.notes = list(dict.fromkeys(notes))
        text = emit(heading, plans, carried)
    return Result("" if broken or refused and not allow else text, plans, refused + broken, notes, warned)


def _verified(heading: Heading, plans: list[ModulePlan],
              verifiers: list[Verifier]) -> tuple[list[Carried], list[Proof]]:
    """(what the livepatch carries beside its plans, what each interpreter shows of it). What differs is carried where
    it can be, and shown anew: what an object is made of comes to light when it is there; no literal is carried where
    changed code reads the machine at import. NoProof: an interpreter can't show anything. OSError: there is no room for
    the releases."""
    carried: dict[Carried, None] = {}
    with contextlib.ExitStack() as stack:
        for verifier in verifiers:
            stack.enter_context(verifier)
        for left in range(_ROUNDS, -1, -1):
            text = emit(heading, plans, list(carried)) if plans or carried else ""
            proofs = [verifier.proof(text) for verifier in verifiers]
            by_name_alone = machine_is_read(plans, {name for proof in proofs for name in proof.ran})
            more = {each for proof in proofs for each in proof.carried
                    if each.is_by_name or not by_name_alone} - carried.keys()
            if not more or not left:
                break
            carried.update(dict.fromkeys(sorted(more, key=lambda each: (each.module, each.path))))
    return list(carried), proofs


def _named(carried: list[Carried]) -> list[str]:
    """Notes on values that are carried: who builds sees whether one is of this machine, and not of the release."""
    notes = [f"carried: {each.module}:{each.path} becomes {each.becomes[:80]}" for each in carried]
    rest = [f"carried: {len(notes) - _MOST_NAMED} more values"] if len(notes) > _MOST_NAMED else []
    return notes[:_MOST_NAMED] + rest


def _notes(pairs: modules.Pairs, read: Container[str]) -> list[str]:
    """Notes on files that no plan speaks of: they are left as they are. read: those data files that code reads."""
    notes = [f"data file {path}: not carried" for path in pairs.data if path not in read]
    notes += [f"module {pair.name} is no more: it stays where it is loaded"
              for pair in pairs.changed if pair.new is None]
    old_tests, new_tests = pairs.old.tests, pairs.new.tests
    tests = [path for path, where in new_tests.items()
             if path not in old_tests or modules.read(where) != modules.read(old_tests[path])]
    if tests:
        notes.append(f"{len(tests)} files in test folders differ: not carried ({tests[0]} ...)")
    return notes


def build_specs(old: str, new: str, pythons: Sequence[str], installed: bool = False, **options: Any) -> Result:
    """The livepatch between two releases, named as on the command line: folders, files, wheels, sdists or requirements.

    pythons: paths of the interpreters that the patch is to fit; pip fetches for the first of them.
    installed: OLD is the distribution that this Python has installed. options, errors: as for build().

    >>> import os, sys, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for version, pi in (("old", "3"), ("new", "3.14")):
    ...     os.mkdir(os.path.join(folder, version))
    ...     with open(os.path.join(folder, version, "shapes.py"), "w", encoding="utf-8") as file:
    ...         size = file.write(f"def area(r): return {pi} * r * r")
    >>> result = build_specs(os.path.join(folder, "old"), os.path.join(folder, "new"), [sys.executable])
    >>> result.refused
    []
    >>> print("\\n".join(line for line in result.text.split("\\n") if line.startswith(("def", "# line", "from"))))
    from klpfs import Func, Object, Patch
    # line 1: body
    def area(r): return 3.14 * r * r
    """
    with tempfile.TemporaryDirectory(prefix="klpfs-build-") as scratch:
        folders = [os.path.join(scratch, version) for version in ("old", "new")]
        for folder in folders:
            os.mkdir(folder)
        if installed:
            old_release = sources.installed(sources.distribution_of(old), pythons[0])
        else:
            old_release = sources.find(old, folders[0], pythons[0])
        new_release = sources.find(new, folders[1], pythons[0])
        if os.path.isfile(old) and os.path.isfile(new) and old.endswith(".py") and new.endswith(".py"):
            new_release.files = {os.path.basename(old): new}  # one module, whatever its files are called
        return build(old_release, new_release, pythons, **options)


__all__ = ["BuildError", "NothingToDo", "Result", "build", "build_specs"]
