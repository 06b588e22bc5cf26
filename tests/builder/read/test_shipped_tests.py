"""What of a release is a test, and what is code for tests to use."""
import pytest

from klpfs.builder.read.shipped_tests import shipped_tests


@pytest.fixture
def tests_in(tmp_path):
    def of(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return shipped_tests({path: str(tmp_path / path) for path in files})
    return of


def test_folders_of_tests_and_what_lies_beside_them(tests_in):
    assert tests_in(dict.fromkeys(("pkg/__init__.py", "pkg/tests/__init__.py", "pkg/tests/test_a.py",
                                   "pkg/tests/helper.py", "pkg/tests/data.json", "pkg/a/test/a_test.py",
                                   "pkg/a/test/deep/more.py", "pkg/conftest.py", "tests/test_b.py"), "")) == {
        "pkg/tests/__init__.py", "pkg/tests/test_a.py", "pkg/tests/helper.py", "pkg/tests/data.json",
        "pkg/a/test/a_test.py", "pkg/a/test/deep/more.py", "pkg/conftest.py", "tests/test_b.py"}


def test_code_that_tests_of_other_packages_use(tests_in):
    assert tests_in(dict.fromkeys(("pkg/test/__init__.py", "pkg/test/client.py", "pkg/testing/util.py",
                                   "pkg/trial/runner.py", "pkg/tests.py", "pkg/test.py", "pkg/test_client.py"),
                                  "")) == set()


@pytest.mark.parametrize("text", ["from pkg.tests import cases", "import pkg.tests.cases",
                                  "from .tests.cases import x",
                                  "try:\n    from . import tests\n    from .tests import cases\nexcept ImportError:\n"
                                  "    pass", "class C:\n    from pkg.tests.cases import x"])
def test_what_other_code_imports_is_code(tests_in, text):
    """With what that imports, and the packages that it lies in."""
    found = tests_in({"pkg/__init__.py": "", "pkg/a.py": text, "pkg/tests/__init__.py": "",
                      "pkg/tests/cases.py": "from .base import y", "pkg/tests/base.py": "",
                      "pkg/tests/test_a.py": "from pkg.tests import cases, test_b", "pkg/tests/test_b.py": ""})
    assert found == {"pkg/tests/test_a.py", "pkg/tests/test_b.py"}


@pytest.mark.parametrize("text", ["def selftest():\n    from pkg.tests import cases",
                                  "x = 'from pkg.tests import cases'",
                                  "if TYPE_CHECKING:\n    from pkg.tests import cases",
                                  "if typing.TYPE_CHECKING:\n    from pkg.tests import cases",
                                  "from pkg.tests import (", "from other.tests import cases"])
def test_what_is_not_imported_at_import_time_stays_a_test(tests_in, text):
    assert tests_in({"pkg/a.py": text, "pkg/tests/cases.py": ""}) == {"pkg/tests/cases.py"}
