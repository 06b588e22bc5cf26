"""run: the environment that starts an agent, and the service's default name."""
import os

import pytest

from klpfs.cli import main as front, service


@pytest.mark.parametrize("argv, name", [
    (["gunicorn", "-w", "8", "shop:app"], "gunicorn"),
    (["/usr/bin/python3", "/srv/app.py", "-v"], "app.py"),
    (["python3.12", "-u", "-X", "dev", "app.py"], "app.py"),
    (["python", "-m", "http.server", "80"], "http.server"),
    (["python3", "-c", "pass"], "python3"),
    (["python3"], "python3"),
])
def test_the_default_name_is_that_of_the_script_or_command(argv, name):
    assert service.service_name(argv) == name


def test_run_becomes_the_command(monkeypatch):
    """PYTHONPATH gains one folder; the rest of the environment is the user's."""
    seen = []
    monkeypatch.setattr(os, "execvpe", lambda *arguments: seen.append(arguments))
    monkeypatch.setenv("PYTHONPATH", "/srv/lib")
    front.main(["run", "-s", "web", "--keep", "--", "python3", "-s", "app.py", "--", "-s", "x"])
    command, argv, environ = seen[0]
    assert (command, argv) == ("python3", ["python3", "-s", "app.py", "--", "-s", "x"])
    assert environ["PYTHONPATH"] == f"{service.BOOT}:/srv/lib"
    assert (environ["KLPFS_SERVICE"], environ["KLPFS_KEEP"]) == ("web", "1")


def test_run_without_keep(monkeypatch):
    seen = []
    monkeypatch.setattr(os, "execvpe", lambda *arguments: seen.append(arguments[2]))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    front.main(["run", "python3", "app.py"])
    assert seen[0]["PYTHONPATH"] == str(service.BOOT) and seen[0]["KLPFS_SERVICE"] == "app.py" and "KLPFS_KEEP" not in seen[0]


def test_run_of_a_command_that_is_not_there(capsys):
    assert front.main(["run", "--", "/nope"]) == 127
    assert capsys.readouterr().err == "klpfs run: /nope: No such file or directory\n"
