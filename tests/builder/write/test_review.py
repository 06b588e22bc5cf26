"""A built livepatch beside the upstream change."""
import pytest

from klpfs.builder.error import BuildError
from klpfs.builder.read.sources import of_folder
from klpfs.builder.write.review import Patch, review

OLD = """
    import functools
    LIMIT = 3
    def f(a):
        '''Said.'''
        return a + 1
    class C:
        @functools.lru_cache(
            maxsize=None)
        def m(self):
            return LIMIT
    def same(): return 1
    """
NEW = OLD.replace("a + 1", "a + 2").replace("LIMIT = 3", "LIMIT = 4").replace("return LIMIT", "return LIMIT + 1")


def shown(upgrade, text=None):
    path = upgrade.folder / "fix.py"
    path.write_text(upgrade.build().text if text is None else text)
    old, new = (of_folder(str(upgrade.folder / each), each) for each in ("old", "new"))
    return list(review(Patch.read(str(path)), old, new))


def test_each_function_with_upstreams_change_and_nothing_of_its_own(upgrade):
    upgrade.write(OLD, NEW)
    lines = shown(upgrade)
    assert lines[0] == f"=== {upgrade.name}"
    at = lines.index("--- function f")
    assert lines[at + 2:at + 6] == [" def f(a):", "     '''Said.'''", "-    return a + 1", "+    return a + 2"]
    assert "--- function C.m" in lines and "the patch has otherwise than upstream:" not in lines
    rest = lines[lines.index("--- the rest of upstream's change"):]
    assert "-LIMIT = 3" in rest and "+LIMIT = 4" in rest and " ... f" in rest and not any("a + 2" in line
                                                                                          for line in rest)
    assert any("LIMIT = 4" in line for line in rest[rest.index("--- runs when the patch goes in"):])


def test_what_the_patch_has_of_its_own_is_shown(upgrade):
    upgrade.write(OLD, NEW)
    lines = shown(upgrade, upgrade.build().text.replace("a + 2", "a + 2  # by hand"))
    at = lines.index("the patch has otherwise than upstream:")
    assert lines[at + 1:at + 6][-2:] == ["-    return a + 2", "+    return a + 2  # by hand"]


def test_modules_that_the_patch_leaves_out(upgrade):
    upgrade.write({"__init__.py": OLD, "other.py": "x = 1\n", "data.txt": "1"},
                  {"__init__.py": NEW, "other.py": "x = 2\n", "data.txt": "2"})
    lines = shown(upgrade, upgrade.build().text.replace(f'Object("{upgrade.name}.other"', 'Object("elsewhere"'))
    at = lines.index(f"=== {upgrade.name}.other")
    assert lines[at + 1] == "not in the patch; upstream's change:" and "+x = 2" in lines[at:]
    assert "=== elsewhere" in lines and f"=== {upgrade.name}/data.txt: not carried" in lines


def test_the_title_names_both_releases(upgrade):
    upgrade.write(OLD, NEW)
    path = upgrade.folder / "fix.py"
    path.write_text(upgrade.build().text)
    found = Patch.read(str(path))
    assert (found.old, found.new) == ("old", "new")
    path.write_text("from klpfs import Patch\npatch = Patch([])\n")
    assert (Patch.read(str(path)).old, Patch.read(str(path)).objects) == ("", [])


def test_a_file_that_is_none(upgrade, tmp_path):
    with pytest.raises(BuildError, match="No such file"):
        Patch.read(str(tmp_path / "none.py"))
    (tmp_path / "bad.py").write_text("def (")
    with pytest.raises(BuildError, match=r"bad\.py:1: "):
        Patch.read(str(tmp_path / "bad.py"))
