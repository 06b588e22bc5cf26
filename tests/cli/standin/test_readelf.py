"""readelf: what kpatch asks it of a module's file; all else is the machine's own."""
import os

import pytest

from klpfs.cli.standin import readelf


def dump(name):
    return f"\nString dump of section '.gnu.linkonce.this_module':\n  [    18]  {name}\n\n"


@pytest.mark.parametrize("option", ["-p .gnu.linkonce.this_module", "-p.gnu.linkonce.this_module",
                                    "--string-dump=.gnu.linkonce.this_module", "-W -p .gnu.linkonce.this_module"])
def test_the_name_of_a_python_file_is_that_of_its_module(command, tmp_path, option):
    assert command(f"readelf {option} {tmp_path}/modules/lp-two.py") == (0, dump("lp_two"), "")


def test_a_ko_is_the_py_beside_it(command, tmp_path):
    """As kpatch's awk reads it: the third word of the line with the brackets."""
    code, out, err = command(f"readelf -p .gnu.linkonce.this_module {tmp_path}/modules/lp-two.ko")
    line, = [line for line in out.splitlines() if "[" in line]
    assert (code, err, line.split()[2]) == (0, "", "lp_two")


def test_it_has_no_other_section(command, tmp_path):
    assert command(f"readelf -p .kpatch.checksum {tmp_path}/modules/lp-two.py") == (
        0, "", "readelf: Warning: Section '.kpatch.checksum' was not dumped because it does not exist\n")


@pytest.fixture
def real(tmp_path, monkeypatch):
    """What the machine's own readelf is called with."""
    calls = []
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/readelf").write_bytes(b"\x7fELF and so on")
    (tmp_path / "bin/readelf").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setattr(os, "execv", lambda *arguments: calls.append(arguments))
    return calls


@pytest.mark.parametrize("words", ["-h modules/lp-two.py", "-p .comment bin/readelf", "-p .gnu.linkonce.this_module no",
                                   "--version", ""])
def test_all_else_is_the_machine_s_own(command, real, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    command(f"readelf {words}")
    assert real == [(f"{tmp_path}/bin/readelf", ["readelf", *words.split()])]


def test_the_stand_in_is_not_the_machine_s_own(command, tmp_path, monkeypatch):
    """It is a script, first in the PATH."""
    (tmp_path / "readelf").write_text("#!/bin/sh\n")
    (tmp_path / "readelf").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = command("readelf -h x")
    assert (code, out) == (1, "") and err.startswith("readelf: this machine has none"), readelf.__doc__
