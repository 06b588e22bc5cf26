"""The proof of a livepatch: OLD with the livepatch in it is the same as NEW, object by object, and the same as before
when it is taken out.

Three processes of the interpreter that the patch is to fit, each in a sandbox: OLD, which takes the livepatch; NEW; and
NEW once more in another environment (hash seed, names, time zone), for what differs between these two says nothing.
"""
from __future__ import annotations

import ast
import functools
import json
import marshal
import os
import re
import signal
import struct
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from attrs import define, field

import klpfs
from klpfs.builder.compare.equivalence import same
from klpfs.builder.plan.machine_readers import machine_is_read
from klpfs.builder.plan.plans import Carried, ModulePlan, Refusal
from klpfs.builder.read.modules import module_name, read
from klpfs.builder.read.sources import Release, version_of
from klpfs.builder.syntax import last_name
from klpfs.builder.verify import process_state, sandbox, subject
from klpfs.builder.verify.carry import Carrier
from klpfs.builder.verify.chance import Unsteady
from klpfs.builder.verify.compare import Comparison, Difference
from klpfs.builder.verify.graphs import Graph
from klpfs.builder.verify.import_loops import bound_by_loops, statements_of
from klpfs.builder.verify.judge import judge, judge_back
from klpfs.builder.verify.readers import Readers
from klpfs.builder.verify.same_source import SameSource
from klpfs.builder.verify.trees import lay_out, modules_of, roots_of
from klpfs.cpython.raw import LEVELS

_KLPFS = os.path.dirname(os.path.abspath(klpfs.__file__))
_SECONDS, _WALL_SECONDS, _MEGABYTES = 120, 600, 2048
_HEAD = struct.Struct("<Q")
_SHOWN, _LONGEST_PATH = 100, 200        # characters of values and of halves of paths
_MOST_NAMED = 20        # differences of a kind that are named; the others are counted


class NoProof(Exception):
    """A process that ended, or took too long: nothing is known. Its text says which and why."""


@define
class Proof:
    """refused: where the livepatch does not do what the release does. carried: what would put some of that right.
    warned: what may matter. notes: what was not looked at, and what is left as it is. ran: as Ran.found, of NEW."""

    refused: list[Refusal] = field(factory=list)
    carried: list[Carried] = field(factory=list)
    warned: list[str] = field(factory=list)
    notes: list[str] = field(factory=list)
    ran: set[str] = field(factory=set)


@define
class _Run:
    """What a process has found."""

    graphs: dict[str, Graph]
    said: dict[str, Any]


class Verifier:
    """The proofs of livepatches between two releases, for one interpreter, run at one level (1: -O, 2: -OO). Used as a
    context manager.

    plans: what the livepatch does; [] where nothing is known to change. path: where it imports other packages from,
    beside its own folders. main: the module that is the service's main program. seeds: names and texts of modules that
    make objects (seeds.py)."""

    def __init__(self, plans: list[ModulePlan], old: Release, new: Release, python: str, level: int = 0,
                 path: Sequence[str] = (), main: str | None = None, seeds: Sequence[tuple[str, str]] = ()) -> None:
        self.plans, self.old, self.new, self.path, self.main, self.seeds = plans, old, new, path, main, seeds
        self.command = [python, LEVELS[level]] if level else [python]
        self.python = " ".join(self.command)        # for messages
        self.readers = Readers(new)
        self._folder = tempfile.TemporaryDirectory(prefix="klpfs-verify-")
        self.scratch = os.path.realpath(self._folder.name)
        self._news: list[_Run] = []         # what two processes of NEW's have found

    @functools.cached_property
    def changed(self) -> dict[str, str]:
        """{module whose text differs: the path of its file in NEW}."""
        return {module_name(path): f"{self.new.label}: {path}" for path, where in self.new.files.items()
                if path.endswith(".py") and (path not in self.old.files or read(where) != read(self.old.files[path]))}

    def __enter__(self) -> Verifier:
        for name, release in (("old", self.old), ("new", self.new)):
            lay_out(release, os.path.join(self.scratch, name))
        alone = os.path.join(self.scratch, "klpfs_alone")       # without what else lies beside it
        os.mkdir(alone)
        os.symlink(_KLPFS, os.path.join(alone, "klpfs"))
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def proof(self, text: str) -> Proof:
        """The proof of a livepatch `text`; '': of none, OLD itself is to be as NEW. NoProof."""
        fix = os.path.join(self.scratch, "klpfs_fix.py") if text else None
        if fix:
            with open(fix, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
        modules = modules_of(self.old) & modules_of(self.new)
        roots = roots_of(modules) | {name for name, _ in self.seeds}
        job = {"klpfs": os.path.join(self.scratch, "klpfs_alone"), "roots": sorted(roots), "modules": sorted(modules),
               "path": list(self.path), "main": self.main, "seeds": self.seeds, "everywhere": True, "seconds": _SECONDS,
               "megabytes": _MEGABYTES, "docs": self.readers.docs}
        of_new = {**job, "fix": None, "watch": machine_is_read(self.plans)}
        jobs = [("old", {**job, "fix": fix, "watch": False}, False), ("new", of_new, False), ("new", of_new, True)]
        why = sandbox.why_not()         # asked before several threads do
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda each: self._run(*each), jobs[:1] if self._news else jobs))
        self._news = self._news or found[1:]
        proof = _Judging(self, text, Proof(), roots).judged(found[0], *self._news)
        if why:
            proof.warned.append(f"verified without a sandbox: {why}")
        return proof

    def _run(self, name: str, job: dict[str, Any], another: bool) -> _Run:
        """What a process of OLD's or NEW's finds. another: in another environment. NoProof: it ended before it had said
        all."""
        home = tempfile.mkdtemp(prefix="home-", dir=self.scratch)
        job = {**job, "tree": os.path.join(self.scratch, name), "home": home}
        read, write = os.pipe()
        command = [*self.command, os.path.abspath(subject.__file__), str(write)]
        if not sandbox.why_not():
            command = sandbox.wrapped(command, home)
        with os.fdopen(read, "rb") as parts, tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors,
                                           pass_fds=[write], env=sandbox.environment(home, another), cwd=home,
                                           start_new_session=True)
            except OSError as error:
                raise NoProof(f"{self.python}: {error.strerror}") from None
            finally:
                os.close(write)
            late = threading.Timer(_WALL_SECONDS, _kill, [process])
            late.start()
            try:
                found = self._heard(process, job, parts)
            finally:
                late.cancel()
                _kill(process)
                process.wait()
            if "said" not in found:
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
                raise NoProof(f"{self.python} ended while {_doing(name, found)}: "
                              f"{last[0] if last else f'status {process.returncode}'}")
        said = found.pop("said")
        if said["unseeded"]:
            raise NoProof(f"the seed can't be made in {name.upper()}: {said['unseeded']}")
        said["state"] = {what[len("state "):]: found.pop(what) for what in list(found) if what.startswith("state ")}
        return _Run({what: Graph(**graph) for what, graph in found.items()}, said)

    @staticmethod
    def _heard(process: subprocess.Popen[bytes], job: dict[str, Any], parts: BinaryIO) -> dict[str, Any]:
        """All parts that a subject writes, until it has said all or has ended."""
        assert process.stdin is not None
        try:
            with process.stdin:
                process.stdin.write(json.dumps(job).encode())
        except BrokenPipeError:
            return {}
        found: dict[str, Any] = {}
        while "said" not in found:
            head = parts.read(_HEAD.size)
            data = parts.read(_HEAD.unpack(head)[0]) if len(head) == _HEAD.size else b""
            try:
                what, value = marshal.loads(data)
            except (EOFError, ValueError, TypeError):       # it has ended
                return found
            found[what] = value
        return found


def _is_added(graph: Graph, before: Graph, extra: Difference) -> bool:
    """Whether an attribute that a class has with the livepatch, and not in NEW, is one that it had not before."""
    up = extra.trail.up if extra.trail is not None else None
    if extra.trail is None or up is None or up.mine is None or graph.kind(up.mine) != "class":
        return False
    labels = [extra.trail.label]
    while up.up is not None:
        labels.append(up.label)
        up = up.up
    node = before.roots.get(up.label)
    for label in reversed(labels):
        node = before.edges(node).get(label) if node is not None else None
    return node is None


def _doing(name: str, found: dict[str, Any]) -> str:
    """What a process was about, by the release that it has and what it has found."""
    if "loaded" not in found or name == "new":
        return f"{name.upper()} was imported"
    return "the livepatch was taken out of OLD" if "patched" in found else "the livepatch was put into OLD"


@define(eq=False)
class _Judging:
    """What the processes have found, made into a proof."""

    of: Verifier
    text: str
    proof: Proof
    roots: set[str]

    def judged(self, patched: _Run, fresh: _Run, again: _Run) -> Proof:
        """patched: of OLD's. fresh, again: of NEW's."""
        self._not_imported(patched, fresh)
        self.proof.ran = {*fresh.said["ran"], *again.said["ran"]}
        if patched.said["refused"]:
            self._refuse_all(f"{self.of.python} does not take it: {patched.said['refused']}")
            return self.proof
        self._process_state(patched, fresh, again)
        old, new = self.of.old, self.of.new
        unsteady = Unsteady(Comparison(again.graphs["loaded"], fresh.graphs["loaded"]).run())
        graph = patched.graphs["patched"] if self.text else patched.graphs["loaded"]
        renamed = {name: to for plan in self.of.plans for name, to in plan.at_import.renamed_attributes.items()}
        comparison = Comparison(graph, fresh.graphs["loaded"], self.text, SameSource(old, new, self.text, renamed))
        judgement = judge(comparison.run(), unsteady, self.roots, (version_of(old.label), version_of(new.label)),
                          functools.cache(functools.partial(bound_by_loops, new)), graph.held_elsewhere(),
                          self.of.readers, functools.partial(_is_added, graph, patched.graphs["loaded"]))
        of_package = [each for each in judgement.telling if each.module.partition(".")[0] in self.roots]
        seeds = {name for name, _ in self.of.seeds}      # no module that a service has
        self.proof.carried = [each for each in Carrier(graph, fresh.graphs["loaded"], unsteady.paths.keys()).carried(
            judgement.refusing + [each for each in of_package if each.path.endswith("__doc__")])
            if each.module not in seeds]
        self._refuse(judgement.refusing)
        self._tell("differs elsewhere", [each for each in judgement.telling if each not in of_package])
        self._tell("differs", of_package)
        self._tell("can't be compared", [each for each in comparison.unseen if self._may_be_otherwise(each)])
        for reason, paths in sorted(judgement.listed.items()):
            named = ", ".join(map(_short, paths[:_MOST_NAMED]))
            self.proof.notes.append(f"left as in the old version: {reason} ({len(paths)} places): {named}"
                                    + (" ..." if len(paths) > _MOST_NAMED else ""))
        if self.text and patched.said["stays"]:
            self._refuse_all(f"it can't be taken out: {patched.said['stays']}")
        elif self.text:
            back = Comparison(patched.graphs["back"], patched.graphs["loaded"], exact=True).run()
            self._tell("is not taken back", judge_back(back, unsteady))
        return self.proof

    def _process_state(self, patched: _Run, fresh: _Run, again: _Run) -> None:
        """What no graph shows: it refuses where OLD's statements that are no more may have made it."""
        mine, wanted = patched.said["state"], fresh.said["state"]["loaded"]
        chance = process_state.differences(wanted, again.said["state"]["loaded"])
        found = process_state.differences(mine["patched" if self.text else "loaded"], wanted)
        of_before = [each for each in process_state.differences(mine["loaded"], wanted) if each not in chance]
        for words in found:
            if words in of_before and any(plan.gone for plan in self.of.plans):
                self._refuse_all(f"the process {words}, compared with NEW's: a statement that is no more has made it")
            elif words not in chance:
                self.proof.warned.append(f"the process {words}, compared with NEW's")
        imported = modules_of(self.of.old) - patched.said["failed"].keys() - fresh.said["failed"].keys()
        self.proof.refused += [gone for plan in self.of.plans if plan.name not in imported for gone in plan.gone]
        if self.text:
            self.proof.warned += [f"the process {words}, compared with before: it is not taken back"
                                  for words in process_state.differences(mine["back"], mine["loaded"])]

    def _may_be_otherwise(self, unseen: Difference) -> bool:
        """Whether a place that nobody can compare is of a statement that is another in NEW, or names what is."""
        module, _, name = unseen.path.partition(":")
        first = re.split(r"[.\[!<]", name)[0]
        changed = {func.node.name for plan in self.of.plans for func in plan.funcs}
        old, new = (statements_of(release, module, first) for release in (self.of.old, self.of.new))
        return module.partition(".")[0] in self.roots and bool(new) and (not same(old, new) or any(
            last_name(node) in changed for statement in new for node in ast.walk(statement)))

    def _not_imported(self, patched: _Run, fresh: _Run) -> None:
        """Names what can't be imported here: nothing is known of it."""
        planned = self.of.changed.keys()
        left_out = sorted(planned - modules_of(self.of.old))
        if left_out:
            self.proof.warned.append(f"not verified, as programs and other people's packages are not imported: "
                                     f"{', '.join(left_out[:_MOST_NAMED])}")
        by_reason: dict[tuple[str, str], list[str]] = {}
        failed, failed_in_new = patched.said["failed"], fresh.said["failed"]
        for name, why in sorted({**failed, **failed_in_new}.items()):
            of = "" if name in failed and name in failed_in_new else "OLD's " if name in failed else "NEW's "
            by_reason.setdefault((of, why), []).append(name)
        for (of, why), names in by_reason.items():
            shown = ", ".join(sorted(names, key=lambda name: (name not in planned, name))[:_MOST_NAMED])
            text = f"not verified, since {self.of.python} can't import {of or 'it: '}{shown}"
            text += f" and {len(names) - _MOST_NAMED} more: {why}" if len(names) > _MOST_NAMED else f": {why}"
            (self.proof.notes if planned.isdisjoint(names) else self.proof.warned).append(text)

    def _refuse(self, found: list[Difference]) -> None:
        paths = self.of.changed
        for each in found[:_MOST_NAMED]:
            self.proof.refused.append(Refusal(_short(each.path), _words(each),
                                              path=paths.get(each.module, each.module)))
        if len(found) > _MOST_NAMED:
            self._refuse_all(f"{len(found) - _MOST_NAMED} more differences from NEW")

    def _refuse_all(self, why: str) -> None:
        self.proof.refused.append(Refusal("the livepatch", why))

    def _tell(self, what: str, found: list[Difference]) -> None:
        self.proof.warned += [f"{_short(each.path)} {what}: {_words(each)}" for each in found[:_MOST_NAMED]]
        if len(found) > _MOST_NAMED:
            self.proof.warned.append(f"{len(found) - _MOST_NAMED} more places: {what}")


def _words(difference: Difference) -> str:
    """What a difference is, for people."""
    mine, wanted = _cut(difference.mine, difference.wanted)
    return {"missing": f"is missing; should be {wanted}", "extra": f"should not be there; is {mine}",
            "code": "its code is not NEW's", "identity": f"is not the object that it should be: {mine}",
            "unseen": f"what is in {mine} nobody can see",
            "order": f"is in another order: {mine}; should be {wanted}"}.get(
                difference.what, f"is {mine}; should be {wanted}")


def _cut(one: str, other: str) -> tuple[str, str]:
    """Two texts, cut to what can be read, with the place at which they begin to differ in it."""
    start = 0
    if one != other and max(len(one), len(other)) > _SHOWN:
        at = len(os.path.commonprefix((one, other)))
        start = max(0, at - _SHOWN // 2) if at > _SHOWN // 2 else 0
    return _part(one, start), _part(other, start)


def _part(text: str, start: int) -> str:
    return f"{'...' if start else ''}{text[start:start + _SHOWN]}{'...' if len(text) > start + _SHOWN else ''}"


def _short(path: str) -> str:
    """A path that can be read: of a very long one its ends."""
    return path if len(path) <= 2 * _LONGEST_PATH else f"{path[:_LONGEST_PATH]}...{path[-_LONGEST_PATH:]}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a subject, with what its package has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
