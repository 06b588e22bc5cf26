"""Two builds of one compiled module are told from two modules."""
import shutil
import subprocess
import sysconfig

import pytest

from klpfs.builder.read.elf import loaded_sections, same_code

COMPILER = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
SOURCE = "int answer(void) { return %d; }\nconst char *text = \"%s\";\n"


def built(folder, number, text="a", build_id="0x01"):
    source, made = folder / "x.c", folder / "x.so"
    source.write_text(SOURCE % (number, text))
    subprocess.run([COMPILER, "-shared", "-fPIC", f"-Wl,--build-id={build_id}", "-o", made, source], check=True)
    return made.read_bytes()


@pytest.mark.skipif(COMPILER is None, reason="no C compiler here")
def test_code_and_data_count_and_build_ids_do_not(tmp_path):
    one = built(tmp_path, 1)
    again = built(tmp_path, 1, build_id="0x02")
    assert one != again and same_code(one, again)
    assert not same_code(one, built(tmp_path, 2))
    assert not same_code(one, built(tmp_path, 1, "b"))


def test_what_is_no_such_file_is_not_taken_for_the_same(tmp_path):
    assert loaded_sections(b"MZ and so on") is None and not same_code(b"MZ", b"MZ")
    assert loaded_sections(b"\x7fELF\x02\x01" + b"\xff" * 100) is None
