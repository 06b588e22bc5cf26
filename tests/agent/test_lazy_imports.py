"""Programs that import all lazily (-X lazy_imports=all, CPython 3.15): klpfs's own modules are all there."""
import json
import os
import subprocess
import sys
import textwrap

import pytest

from klpfs.agent import run_command

pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are new in 3.15")
COUNT = """
import sys, json
def lazy(mode="all"):
    assert sys.get_lazy_imports() == mode
    kind = type(sys)("types") and __import__("types").LazyImportType
    return [f"{key}.{name}" for key, module in list(sys.modules.items()) if key.partition(".")[0] == "klpfs"
            for name, value in list(vars(module).items()) if type(value) is kind]
def many():
    return sum(key.partition(".")[0] == "klpfs" for key in sys.modules)
"""


def run(tmp_path, text, options=(), agent=True, **environ):
    """What a program prints as JSON."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "KLPFS"))}
    env["KLPFS_RUNTIME_DIR"] = str(tmp_path)
    env.update(environ)
    path = tmp_path / "app.py"
    path.write_text(COUNT + textwrap.dedent(text))
    done = subprocess.run([sys.executable, *options, str(path)], capture_output=True, text=True, timeout=60,
                          env=run_command.environment(["x"], "svc", False, env) if agent else env)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("options, environ", [(["-X", "lazy_imports=all"], {}), ([], {"PYTHON_LAZY_IMPORTS": "all"})])
def test_no_module_of_klpfs_is_lazy_at_the_program_s_first_line(tmp_path, options, environ):
    found, count = run(tmp_path, "print(json.dumps([lazy(), many()]))", options, **environ)
    assert found == [] and count > 40


def test_nor_are_those_that_come_with_a_load(tmp_path):
    before, found, count = run(tmp_path, """
        before = many()
        from klpfs.agent.lazy_target import CPython
        CPython.prepare()
        CPython.loader()
        from klpfs import ImportTime, NewModule, fields, later, module_param, shadow
        ImportTime, NewModule, fields, later, module_param, shadow
        print(json.dumps([before, lazy(), many()]))
    """, ["-X", "lazy_imports=all"])
    assert found == [] and count > before + 30


def test_a_program_that_turns_it_on_later(tmp_path):
    found = run(tmp_path, """
        sys.set_lazy_imports("all")
        from klpfs.agent.lazy_target import CPython
        CPython.prepare()
        print(json.dumps(lazy()))
    """)
    assert found == []


def test_an_agent_that_the_program_itself_starts(tmp_path):
    found = run(tmp_path, f"""
        sys.path.insert(0, {os.path.dirname(os.path.dirname(run_command.__file__))!r} + "/..")
        import klpfs.agent
        klpfs.agent.start("svc")
        print(json.dumps(lazy()))
    """, ["-X", "lazy_imports=all"], agent=False)
    assert found == []


def test_commands_and_daemons_import_at_once(tmp_path):
    found = run(tmp_path, f"""
        sys.path.insert(0, {os.path.dirname(os.path.dirname(run_command.__file__))!r} + "/..")
        import klpfs.cli.main, klpfs.fs.daemon
        klpfs.cli.main.main, klpfs.fs.daemon
        print(json.dumps(lazy("normal")))
    """, ["-X", "lazy_imports=all"], agent=False)
    assert found == []
