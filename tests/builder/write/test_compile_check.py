"""What the builder writes compiles, or is refused by the place of NEW that it stands for."""
import sys

import pytest

from klpfs.builder.write.compile_check import uncompilable
from tests.builder.kit import there_and_back
from tests.pythons import find

OLD = "import sys\ndef kind(): return 1\ntry:\n    {}\nexcept ImportError:\n    def _f(): pass\n    N = kind()\n"


@pytest.mark.parametrize("text, name", [("from _types_ import *", "_f"), ("from .b import *; from .c import *", "_f"),
                                        ("from .b import *", "X")])
def test_a_try_around_a_star_import_is_carried(upgrade, text, name):
    """The handlers run again where they ran; names of the import that the module has others for since stay."""
    files = {"b.py": "X = 1\n", "a.py": OLD.format(text) + "X = 3\n"}
    there_and_back(upgrade, files, {**files, "a.py": files["a.py"].replace("return 1", "return 2")},
                   "kind()", "globals().get('N')", f"{name!r} in globals()", "X", module="a")


def test_a_new_try_around_a_star_import_is_carried(upgrade):
    """With the names that its source says, and whose source is not known."""
    old = {"b.py": "X = 1\nY = 2\n", "a.py": "def f(): return 1\n"}
    new = {**old, "a.py": "def f(): return X\ntry:\n    from .b import *\n    from colorsys import *\n"
                          "except ImportError: pass\n"}
    there_and_back(upgrade, old, new, "f()", "globals().get('Y')", "'rgb_to_hsv' in globals()", module="a")


def test_annotated_names_under_a_condition_are_carried(upgrade):
    there_and_back(upgrade, "import sys\nif sys: X: int = 1\n",
                   "import sys\nif sys:\n    X: int = 2\n    Z: float\n"
                   "    for i in (1,):\n        Y: (\n  int) = (\n  3)\n",
                   "X", "globals().get('Y')")


NAME = "klp = {}\ndef f(): return {}\n"


@pytest.mark.parametrize("allow", [False, True])
def test_what_does_not_compile_is_refused_by_name(upgrade, allow):
    upgrade.write({"a.py": "x = 1\n" + NAME.format("()", 1)}, {"a.py": "x = 1\n" + NAME.format("[len('')]", 2)})
    result = upgrade.build(allow=allow)
    [refusal] = result.refused
    assert not result.text and refusal.place.endswith("a.py:2") and "klp" in refusal.what and "compile" in refusal.why


def test_functions_for_closures_compile(upgrade):
    """The loader makes functions of what declares variables of the closure that it goes into."""
    text = "def make():\n    n = 0\n    def count():\n        nonlocal n\n        n += {}\n        return n\n" \
           "    return count\nf = make()\n"
    upgrade.write(text.format(1), text.format(2))
    result = upgrade.build()
    assert "\ndef count" in result.text and not result.refused


def test_each_python_is_asked(upgrade):
    """Of syntax that this one knows."""
    old = find(9)
    if old is None or sys.version_info < (3, 10):
        pytest.skip("no CPython 3.9 beside a later one on this machine")
    text = "def f():\n    # line 7: body\n    match 1:\n        case 1: pass\n"
    assert not uncompilable(text, [], [sys.executable])
    [refusal] = uncompilable(text, [], [sys.executable, old])
    assert refusal.line == 7 and refusal.what == "f: `match 1:`" and old in refusal.why
