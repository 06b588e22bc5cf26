"""A kind of change: a pair of releases, and what a live program asks of them."""
import re

from attrs import evolve, field, frozen

_MARK = "_k"            # behind the name of a module: the number of its pair among others in one release


@frozen
class Kind:
    """name: words for it. old, new: {path: text}, or the text of m.py. asks: expressions over the release's top modules
    and what `live` has made: statements that make objects while OLD runs. What is right is what a program says that has
    run OLD, or NEW, all along.

    carried: it must not be refused. needs: packages of others. since: the first minor version of Python that it runs
    on. meanwhile: {question: right answer while the livepatch is in}, where it is neither OLD's nor NEW's that is right
    of objects made before. alone: what it changes is everybody's. number: of the pair among others in one release."""

    name: str
    old: "str | dict[str, str]"
    new: "str | dict[str, str]"
    asks: tuple
    live: str = ""
    carried: bool = False
    needs: tuple = ()
    since: int = 9
    meanwhile: dict = field(factory=dict)
    alone: bool = False
    number: "int | None" = None

    @property
    def files(self):
        """(OLD's, NEW's): {path: text}, with the names of their modules."""
        return tuple({self._in_path(path): self._in_text(text) for path, text in self._plain(each).items()}
                     for each in (self.old, self.new))

    @property
    def names(self):
        """{a top module's own name: its name in the release}, of those that OLD has."""
        return {name: self._in_release(name) for name in self._tops(self._plain(self.old))}

    def modules_of(self, version):
        """The names of OLD's modules, in "new" of those that NEW has as well."""
        old, new = ([path[:-len(".py")].replace("/", ".").removesuffix(".__init__") for path in files]
                    for files in self.files)
        return old if version == "old" else [name for name in old if name in new]

    @property
    def mark(self):
        """What is in the names of its modules alone."""
        return "" if self.number is None else f"{_MARK}{self.number}"

    def numbered(self, number):
        """The pair as one of several in one release."""
        return evolve(self, number=number)

    @staticmethod
    def _plain(files):
        return {"m.py": files} if isinstance(files, str) else files

    @staticmethod
    def _tops(files):
        return sorted({path.partition("/")[0].removesuffix(".py") for path in files})

    def _in_release(self, name):
        return name + self.mark

    def _in_path(self, path):
        top, ends, rest = path.partition("/")
        return self._in_release(top.removesuffix(".py")) + (".py" if top.endswith(".py") else "") + ends + rest

    def _in_text(self, text):
        if self.number is None:
            return text
        for name in {*self._tops(self._plain(self.old)), *self._tops(self._plain(self.new))}:
            text = re.sub(rf"\bfrom {name}(?=[. ])", f"from {name}{self.mark}", text)
            text = re.sub(rf"(?m)^(\s*)import {name}$", rf"\1import {name}{self.mark} as {name}", text)
            text = re.sub(rf"(?m)^(\s*)import {name}\.(\w+)$",
                          rf"\1import {name}{self.mark}.\2; import {name}{self.mark} as {name}", text)
        return text


def number_in(text):
    """The number of the pair whose module a text names; None: of none, or of several."""
    found = set(re.findall(rf"{_MARK}(\d+)\b", text))
    return int(found.pop()) if len(found) == 1 else None
