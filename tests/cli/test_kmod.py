"""What kmod's library has: lines of proc/modules as the kernel and the tree write them."""
from types import SimpleNamespace

import pytest

from klpfs.cli.kmod import Module, file_of, parse_modules, quoted
from klpfs.fs.tree import modules_text
from klpfs.service import insmod_text


def test_a_line_of_proc_modules():
    shown = ("lp1", 16384, 2, ("a", "b"), "Live", "OEK")
    assert Module.parse("lp1 16384 2 a,b, Live 0x0000000000000000 (OE K)") == shown
    assert Module.parse("lp1 16384 0 - Live 0x0000000000000000") == ("lp1", 16384, 0, (), "Live", "")


def test_the_taint_of_a_livepatch_is_seen():
    assert Module.parse("lp1 16384 0 - Live 0x0000000000000000 (OE K)").livepatch
    assert not Module.parse("K 16384 0 - Live 0x0000000000000000 (OE)").livepatch


@pytest.mark.parametrize("name", ["lp1", "two words", "a (b)", "2", "caf\xe9", "line\u2028separator",
                                  "wide\u2003blank"])
@pytest.mark.parametrize("livepatch", [False, True])
def test_what_the_tree_writes_is_read(name, livepatch):
    """Whatever name the tree can show."""
    shown = [SimpleNamespace(name=each, size=4096, refcnt=1, holders=(name,), state="Live", livepatch=livepatch)
             for each in ("first", name)]
    found = parse_modules(modules_text(shown).decode())
    assert found == [Module(each, 4096, 1, (name,), "Live", "OEK" if livepatch else "OE") for each in (name, "first")]


def test_a_line_as_lsmod_prints_it():
    assert str(Module("tgt", 12, 0, ("a", "b"), "Live", "")) == "tgt                       12  0 a,b"
    assert str(Module("lp1", 16384, 1, (), "Live", "")) == "lp1                    16384  1"


@pytest.mark.parametrize("word", ["plain", "two words", "it's", 'say "so"', "both ' and \"", "", "a=b c", "\t"])
def test_a_quoted_word_arrives_as_it_was(word):
    path, *rest = insmod_text.words(f"path {quoted(word)} end".encode())
    assert (path, rest) == ("path", [word, "end"])


def test_a_ko_is_the_py_beside_it(tmp_path):
    (tmp_path / "one.py").write_text("")
    assert file_of(str(tmp_path / "one.ko")) == str(tmp_path / "one.py")
    (tmp_path / "one.ko").write_text("")
    assert file_of(str(tmp_path / "one.ko")) == str(tmp_path / "one.ko")
    assert file_of("two.ko") == "two.ko"
