"""The options of a Python's command line."""
import os

import pytest

from klpfs.protocol import python_command


@pytest.mark.parametrize("words, letters, kind, name", [
    (["a.py", "-I"], "", "script", "a.py"), (["-I", "a.py"], "I", "script", "a.py"),
    (["-sE", "a.py"], "sE", "script", "a.py"), (["-m", "pkg.mod", "-S"], "", "module", "pkg.mod"),
    (["-bmpkg"], "b", "module", "pkg"), (["-c", "-I"], "", "code", "-I"),
    (["-W", "error", "-Xdev", "a.py"], "", "script", "a.py"), (["-Werror", "-X", "dev", "-S"], "S", "stdin", ""),
    ([], "", "stdin", ""), (["-", "-I"], "", "stdin", ""),
    (["--check-hash-based-pycs", "never", "a.py"], "", "script", "a.py"), (["-u", "--", "-I"], "u", "script", "-I"),
])
def test_options_of_python(words, letters, kind, name):
    """The program's own options are none of Python's."""
    assert python_command.python_options(words) == (set(letters), kind, name)


def test_the_folder_of_sitecustomize_is_there():
    assert os.path.exists(os.path.join(python_command.BOOT, "sitecustomize.py"))
