"""What the tests of exchanged code share: programs whose functions get other code from a tool, and the tool's work."""
OUTER = """
import types
def outer(n):
    @types.coroutine
    def inner():
        yield 'i0', n, b()
    return inner
def b(): return 'b0'
async def wait(inner): return await inner()
old = [outer(0), outer(1)]
"""
PLAIN = """
def f(held): held.stop(); return 'f0' + b()
def g(): return 'g0' + b()
def gen():
    yield 'n0'
    yield 'n0' + b()
def b(): return 'b0'
"""
NEW_PLAIN = """
def f(held): held.stop(); return 'f1' + b()
def g(): return 'g1' + b()
def gen():
    yield 'n1'
    yield 'n1' + b()
def b(): return 'b1'
"""


def exchange(fn, *, other=False):
    """A tool's work: another code object in place of a function's, equal or with something more in it."""
    consts = fn.__code__.co_consts
    fn.__code__ = fn.__code__.replace(co_consts=(*consts, object()) if other else (*consts,))


def kinds(machine):
    """The kinds of what is in the way, sorted: with greenlets about, all are seen at once."""
    return sorted(each.kind for each in machine.engine.look())


def first(generator):
    return next(iter(generator))


def awaited(module, inner):
    return module.wait(inner).send(None)


def alone(module, text, more=""):
    return f"def inner():\n yield 'i{text}'\ndef b(): return 'b{text}'\n" + (
        f"patch = Patch([Object({module.__name__!r}, [Func('outer.<locals>.inner', inner), Func('b', b)])]{more})")
