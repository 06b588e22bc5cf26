"""docs/STATES.md says what the tables of the code say."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_the_page_is_current():
    """`make docs` writes it anew."""
    done = subprocess.run([sys.executable, ROOT / "scripts/states"], capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs/STATES.md").read_text()
