"""The program that the kernel's scenarios patch. Its tasks hold none of its functions between two questions."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.integration.program import main


def cmdline_proc_show():
    return "original"


def name_show():
    return "first"


first_name_show = name_show


def name_show():  # noqa: F811  two functions of one name, both alive
    return "second"


def target():
    """What the patched functions return now."""
    tgt = sys.modules.get("klp_tgt")
    return {"cmdline": cmdline_proc_show(), "tgt": f"{tgt.tgt_a()} / {tgt.tgt_b()}" if tgt else None}


if __name__ == "__main__":
    main(globals())
