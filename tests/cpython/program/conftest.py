"""A program of a test's own, for the import hooks, which are taken out behind it."""
import pytest

from klpfs.engine.core import Engine
from tests.cpython import import_system
from tests.programs import Program


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    yield made
    import_system.restore()
    made.close()


@pytest.fixture
def in_force(program):
    """in_force(name, text): (engine, LoadedModule) of a livepatch of f in a module, whose transition is over."""
    def enable(name, text="def f(): return 'new'"):
        engine = Engine(program.target, program.log)
        found = program.load(text + "\npatch = Patch([Object(%r, [Func('f', f)])])" % name)
        engine.enable(found.patch, found.name)
        engine.start()
        assert engine.look() == []
        engine.finish()
        return engine, found
    return enable
