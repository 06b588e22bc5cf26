"""Livepatches that change nothing: which functions they have, and how they are written."""
import sys
import textwrap

import pytest

from tests.cpython_suite import identity

MODULE = """\
import functools

LIMIT = 3


def plain(a, b=1, *, c=LIMIT, d=None):
    return a, b, c, d


@functools.lru_cache
def cached():
    return 1


def twice():
    return 1


def twice():  # noqa: F811
    return 2


def replaced():
    return "Python"


replaced = len


class Box:
    def __init__(self, value=LIMIT):
        self.__value = value

    def __secret(self):
        return self.__value

    @property
    def value(self):
        return self.__secret()

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def name():
        return "box"

    @property
    def size(self):
        return 1

    @size.setter
    def size(self, value):
        pass


class Deep(Box):
    def __init__(self):
        super().__init__(5)
"""
NAMES = ["plain", "Box.__init__", "Box.__secret", "Box.value", "Box.make", "Box.name", "Deep.__init__"]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module with that text, which can be imported."""
    (tmp_path / "identity_of_this.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "identity_of_this"
    sys.modules.pop("identity_of_this", None)


def test_functions_whose_text_says_what_they_are(module):
    """No decorators of others, none of two with one name, none that is something else at run time."""
    assert identity.livepatch(module)[1] == NAMES


def test_the_files_can_be_compiled_and_say_which_is_cumulative(module, tmp_path):
    assert identity.write(tmp_path, module) == len(NAMES)
    texts = [(tmp_path / f"{prefix}_{module}.py").read_text() for prefix in ("same", "only")]
    for text in texts:
        compile(text, "livepatch", "exec")
    assert texts[0].endswith("replace=False)\n") and texts[1] == texts[0].replace("replace=False", "replace=True")
    assert "c=unchanged, d=None" in texts[0] and "Func('Box.__secret', Box._Box__secret)" in texts[0]


def test_methods_of_a_class_block():
    """As the compiler mangles their names."""
    assert [identity.mangled(name) for name in ("f", "C.f", "C.__f", "_C.__f", "C.__init__", "__f")] == [
        "f", "C.f", "C._C__f", "_C._C__f", "C.__init__", "__f"]


def test_standard_modules_have_functions():
    for name in "threading", "contextlib", "asyncio.locks":
        text, names = identity.livepatch(name)
        assert len(names) > 5 and compile(text, name, "exec")
