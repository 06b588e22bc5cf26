"""The sandbox: no network, nothing written, nothing that stays."""
import os
import subprocess
import sys

import pytest

from klpfs.builder.verify import sandbox

isolated = pytest.mark.skipif(bool(sandbox.why_not()), reason=f"no namespaces here: {sandbox.why_not()}")


def run(folder, program):
    return subprocess.run(sandbox.wrapped([sys.executable, "-c", program], str(folder)), capture_output=True, text=True,
                          env=sandbox.environment(str(folder), "0"), timeout=60)


@isolated
def test_files_can_be_read_alone(tmp_path):
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    outside.mkdir()
    done = run(home, f"import os, tempfile\nopen({str(home / 'x')!r}, 'w').close()\nprint(tempfile.gettempdir())\n"
                     f"try:\n    open({str(outside / 'x')!r}, 'w')\nexcept OSError as error:\n    print(error.errno)\n")
    assert done.stdout.split() == [str(home), "30"], done            # EROFS
    assert os.listdir(home) == os.listdir(outside) == []


@isolated
def test_there_is_no_network_and_no_other_process(tmp_path):
    done = run(tmp_path, "import os, socket\nprint(os.getpid() < 100)\ns = socket.socket()\ntry:\n"
                         "    s.connect(('192.0.2.1', 9))\nexcept OSError as error:\n    print(error.errno)\n")
    assert done.stdout.split() == ["True", "101"], done               # ENETUNREACH


def test_the_callers_environment_stays_outside(monkeypatch):
    monkeypatch.setenv("KLPFS_SECRET", "x")
    made, another = sandbox.environment("/folder", False), sandbox.environment("/folder", True)
    assert "KLPFS_SECRET" not in made and made["PYTHONHASHSEED"] == "0" and made["HOME"] == "/folder"
    assert all(made[key] != another[key] for key in ("PYTHONHASHSEED", "TZ", "LANG", "USER", "HOSTNAME"))
