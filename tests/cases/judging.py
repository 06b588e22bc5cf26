"""What becomes of pairs of releases in a live program: built with their proof, loaded by klpfs's own loader, asked,
taken out, asked again and compared as graphs.

Many pairs are one release, each in modules of its own, for a proof costs the same for many. What is refused is taken
out of it, and the rest is built again; what can't be told of one pair is told by halves.
"""
import collections
import json
import marshal
import pathlib
import re
import shutil
import subprocess
import tempfile

from attrs import frozen

from klpfs.builder.build import build
from klpfs.builder.error import BuildError, NothingToDo
from klpfs.builder.read.sources import of_folder
from klpfs.builder.verify.compare import Comparison
from klpfs.builder.verify.graphs import Graph
from klpfs.builder.verify.judge import Unsteady, judge_back
from klpfs.builder.verify.verify import NoProof
from tests.cases.kinds.kind import number_in

PROJECT = pathlib.Path(__file__).resolve().parents[2]
LIVE = pathlib.Path(__file__).with_name("live.py")
NOT_TAKEN_BACK = "is not taken back"
RIGHT, REFUSED, NEEDLESS, WRONG = "right", "refused", "NEEDLESSLY REFUSED", "WRONG"


@frozen
class Verdict:
    """kind: a pair. what: RIGHT, REFUSED, NEEDLESS or WRONG. words: more of it."""

    kind: object
    what: str
    words: str = ""


class _Several(Exception):
    """Something that can't be told of one of several pairs."""


def _refused(kind, words):
    return Verdict(kind, NEEDLESS if kind.carried else REFUSED, words)


class Together:
    """Pairs in one release, in a folder, for programs of one interpreter."""

    def __init__(self, folder, python, kinds):
        self.folder, self.python = folder, python
        self.kinds = kinds if len(kinds) == 1 else [kind.numbered(at) for at, kind in enumerate(kinds)]
        for kind in self.kinds:
            for version, files in zip(("old", "new"), kind.files):
                for path, text in files.items():
                    where = folder / version / path
                    where.parent.mkdir(parents=True, exist_ok=True)
                    where.write_text(text)

    def program(self, version, kinds, fix=None):
        """What the live program finds. _Several, or WRONG of one: it ends."""
        parts = [{"live": f"klp_live{kind.mark}", "modules": kind.modules_of(version), "names": kind.names,
                  "makes": kind.live, "asks": kind.asks} for kind in kinds]
        job = {"klpfs": str(PROJECT), "tree": str(self.folder / version), "fix": fix, "parts": parts}
        done = subprocess.run([self.python, str(LIVE)], input=json.dumps(job).encode(), capture_output=True,
                              cwd=self.folder, check=False)
        if done.returncode or not done.stdout:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise _Several(f"the program of {version} ends: {last[0] if last else done.returncode}")
        return marshal.loads(done.stdout)

    def releases(self, kinds):
        """(OLD, NEW) of these pairs alone."""
        found = []
        for version, at in (("old", 0), ("new", 1)):
            release = of_folder(str(self.folder / version), version.upper())
            paths = {path for kind in kinds for path in kind.files[at]}
            release.files = {path: where for path, where in release.files.items() if path in paths}
            found.append(release)
        return found

    def verdicts(self):
        """A Verdict of each. _Several."""
        answers = {}
        for version in ("old", "new"):
            (found,) = self.program(version, self.kinds)["answers"]
            for kind, said in zip(self.kinds, found):
                answers.setdefault(kind.number, []).append(said)
        found, left = [], []
        for kind in self.kinds:
            old, new = answers[kind.number]
            right = [kind.meanwhile.get(ask, said) for ask, said in zip(kind.asks, new)]
            answers[kind.number] = old, right
            left.append(kind)
        while left:
            try:
                built = build(*self.releases(left), [self.python], verify=True)
            except NothingToDo as error:
                return found + [self._nothing(kind, *answers[kind.number], str(error)) for kind in left]
            except (BuildError, NoProof) as error:
                if len(left) > 1:
                    raise _Several(str(error)) from None
                return [*found, _refused(left[0], str(error))]
            if built.text:
                return found + self._loaded(left, answers, built)
            more = self._by_kind(left, built.refused)
            found += more
            left = [kind for kind in left if kind not in [each.kind for each in more]]
        return found

    @staticmethod
    def _nothing(kind, old, right, words):
        return Verdict(kind, WRONG if old != right else RIGHT, f"nothing to do, OLD {old}, NEW {right}: {words}")

    def _by_kind(self, kinds, refused):
        """The verdicts of those that are refused."""
        words = collections.defaultdict(list)
        for each in refused:
            text = f"{each.place}: {each.what}: {each.why}"
            number = None if len(kinds) == 1 else number_in(f"{each.path} {each.what}")
            number = number_in(text) if number is None and len(kinds) > 1 else number
            if number is None and len(kinds) > 1 or number not in [kind.number for kind in kinds]:
                if len(self.kinds) == 1:
                    number = kinds[0].number
                else:
                    raise _Several(text)
            words[number].append(text)
        return [_refused(kind, "; ".join(words[kind.number])) for kind in kinds if kind.number in words]

    def _loaded(self, kinds, answers, built):
        """What became of them in a running program."""
        fix = self.folder / "klpfs_fix.py"
        fix.write_text(built.text)
        found = self.program("old", kinds, str(fix))
        if found["refused"]:
            if len(kinds) > 1:
                raise _Several(found["refused"])
            if not kinds[0].live:
                return [Verdict(kinds[0], WRONG, f"built, and not loaded: {found['refused']}")]
            return [_refused(kinds[0], f"at load: {found['refused']}")]
        kept = tuple(f".{name}" for name in re.findall(r"(\w+) = klp\.first_use", built.text))
        left, of_nobody = collections.defaultdict(list), []
        back, before = (Graph(**found["graphs"][what]) for what in ("back", "before"))
        for each in judge_back(Comparison(back, before, exact=True).run(), Unsteady([])):
            if each.path.endswith(kept) and each.what == "extra":
                continue        # an attribute of new code's stays with the object, as with those made meanwhile
            number = number_in(each.path) if len(kinds) > 1 else kinds[0].number
            (of_nobody if number is None and len(kinds) > 1 else left[number]).append(each.path)
        if of_nobody:
            raise _Several(f"left: {', '.join(of_nobody)}")
        said = [each for each in [*built.warned, *built.notes] if NOT_TAKEN_BACK in each]
        return [self._verdict(kind, answers[kind.number], [time[at] for time in found["answers"]],
                              left[kind.number], [each for each in said if kind.mark in each])
                for at, kind in enumerate(kinds)]

    @staticmethod
    def _verdict(kind, known, found, left, said):
        old, right = known
        before, again, meanwhile, after = found
        if not before == again == old:
            return Verdict(kind, WRONG, f"the questions change what they ask: {old}, {before}, {again}")
        wrong = [f"{ask}: OLD {one}, patched {mine}, right {wanted}"
                 for ask, one, mine, wanted in zip(kind.asks, old, meanwhile, right) if mine != wanted]
        if wrong:
            return Verdict(kind, WRONG, "; ".join(wrong))
        if after == old and not left:
            return Verdict(kind, RIGHT, "and taken back")
        words = f"OLD {old}, after {after}; left: {', '.join(left[:5])}"
        if not said:
            return Verdict(kind, WRONG, f"not taken back, without a word: {words}")
        return Verdict(kind, RIGHT, f"not taken back, as the build says: {words}")


def judged(kinds, python):
    """A Verdict of each of these pairs."""
    if not kinds:
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="klpk", dir="/tmp"))
    try:
        found = Together(folder, python, kinds).verdicts()
    except _Several as error:
        if len(kinds) == 1:
            yield Verdict(kinds[0], WRONG, str(error))
            return
        middle = len(kinds) // 2
        yield from judged(kinds[:middle], python)
        yield from judged(kinds[middle:], python)
        return
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    yield from found


def batches(kinds, most):
    """The pairs in lists of at most so many that need the same; each that is to be alone in one of its own."""
    together = collections.defaultdict(list)
    for kind in kinds:
        together[kind.needs, kind.name if kind.alone else ""].append(kind)
    for each in together.values():
        for at in range(0, len(each), most):
            yield each[at:at + most]
