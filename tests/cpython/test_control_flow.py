"""Control flow of code objects, against what really ran: random programs of all statements, traced by instruction."""
import functools
import random
import sys

import pytest

from klpfs.cpython import control_flow
from klpfs.cpython.control_flow import Flow, NotUnderstood

LOOPS = ("for", "while", "while True", "comprehension")     # the last from 3.12 on
PLAIN = ("if", "try", "finally", "with", "both", "class")


class Maker:
    """A random program: its text, and x(), whose answers and exceptions are random as well."""

    def __init__(self, seed, kinds):
        self.random, self.kinds, self.calls = random.Random(seed), kinds, 0
        self.text = "".join(self.block(3, False))

    def x(self, *_):
        """What each statement asks: True, False, an exception of a kind that handlers are for, or of another."""
        self.calls += 1
        if self.calls > 60:
            raise SystemExit
        answer = self.random.random()
        if answer < 0.12:
            raise KeyError
        if answer < 0.16:
            raise IndexError
        return answer < 0.6

    def __enter__(self):
        self.x()

    def __exit__(self, *error):
        return self.x()

    def block(self, depth, loop):
        return [line for _ in range(self.random.randint(1, 3)) for line in self.statement(depth, loop)]

    def inner(self, depth, loop):
        return [" " + line for line in self.block(depth - 1, loop)]

    def statement(self, depth, loop):
        choice = self.random.choice(self.kinds if depth else ("leaf",))
        if choice == "leaf":
            return [self.random.choice(("x()\n", "x()\n", "def f(): pass\n", "del d\n", "raise KeyError\n") +
                                       (("break\n", "continue\n") if loop else ()))]
        if choice == "class":       # no jump leads out of a class
            return ["class C(x() and object or object):\n", *self.inner(depth, False)]
        if choice == "comprehension":
            return ["y = [x(i) for i in (x(), 2)]\n"]
        one, two = self.inner(depth, loop or choice in LOOPS), self.inner(depth, loop)
        if choice == "if":
            return ["if x() and x():\n", *one, "else:\n", *two]
        if choice == "for":
            return ["for i in range(2):\n", *one, "else:\n", *two]
        if choice == "while":
            return ["while x():\n", *one, "else:\n", *two]
        if choice == "while True":
            return ["while True:\n", " x()\n", *one]
        if choice == "try":
            return ["try:\n", *one, "except KeyError as e:\n", *two, "else:\n", *self.inner(depth, loop)]
        if choice == "finally":
            return ["try:\n", *one, "finally:\n", *self.inner(depth, False)]
        if choice == "both":
            return ["try:\n", *one, "except (KeyError, TypeError):\n", *two, "finally:\n", *self.inner(depth, False)]
        return ["with m:\n", *one]


def ran(code, maker):
    """The units at which the frame of `code` stood, in order, as they ran."""
    units = []

    def tracer(frame, event, arg):
        if frame.f_code is code:
            frame.f_trace_opcodes = True
            if event == "opcode":
                units.append(frame.f_lasti // 2)
            return tracer
    sys.settrace(tracer)
    try:
        exec(code, {"x": maker.x, "m": maker, "d": 1, "__name__": "app"})
    except (KeyError, IndexError, SystemExit, NameError, AttributeError):
        pass
    finally:
        sys.settrace(None)
    return units


@pytest.mark.parametrize("part", range(8))
def test_what_runs_next_can_be_reached(part):
    steps = 0
    for seed in range(part, 160, 8):
        maker = Maker(seed, LOOPS + PLAIN + ("leaf",))
        code = compile(maker.text, "app.py", "exec")
        flow = Flow(code)
        units = ran(code, maker)        # none, in a process's first trace on 3.12
        assert flow.understood
        reached, reaching = functools.lru_cache(None)(lambda unit: flow.reached_from([unit])), functools.lru_cache(None)(flow.reaching)
        for unit, after in set(zip(units, units[1:])):
            assert after in reached(unit) and unit in reaching((after,)), (seed, maker.text)
            steps += 1
    assert steps > 300


@pytest.mark.parametrize("part", range(8))
def test_without_a_loop_nothing_leads_back(part):
    """So what is behind a body is known to be: try, finally and with are followed for what they are."""
    for seed in range(part, 160, 8):
        maker = Maker(seed, PLAIN + ("leaf",))
        code = compile(maker.text, "app.py", "exec")
        flow = Flow(code)
        units = list(dict.fromkeys(ran(code, maker)))
        for at, unit in enumerate(units):
            assert not flow.reached_from([unit]) & set(units[:at]), (seed, maker.text)


def places(text):
    """(code, Flow, {name: units at which it is being made})."""
    code = compile(text, "app.py", "exec")
    flow = Flow(code)
    return code, flow, {made.co_name: units | called for made, units, called in flow.makings(code)}


def test_what_is_made_is_told_with_its_places():
    code, _, made = places("@x\ndef f(a=1, *, b=2): pass\nclass C(x()):\n def g(self): pass\nh = lambda: 1\n")
    assert set(made) == {"f", "C", "<lambda>"}
    assert not made["f"] & made["C"] and not made["C"] & made["<lambda>"]
    assert min(made["f"]) < min(made["C"]) < min(made["<lambda>"])


def test_a_class_is_being_made_until_its_body_is_called():
    """Of bases and keywords other code may run; of a decorated function only its making counts, for there it is
    already."""
    code, flow, made = places("class C(x() if x() else y, *z, k=x()):\n pass\nx()\n")
    opcodes = [control_flow._NAMES.get(number, "") for number in flow.numbers]
    calls = [unit for unit, name in enumerate(opcodes) if name.startswith("CALL")]
    assert len(set(calls) & made["C"]) == len(calls) - 1 and calls[-1] not in made["C"]


def test_many_constants_and_long_jumps():
    """With EXTENDED_ARG in front of loads and jumps."""
    many = "".join("x = %d.5\n" % n for n in range(300))
    code, flow, made = places("while x:\n" + "".join(" " + line + "\n" for line in many.splitlines()) +
                              " def f(): pass\ndef g(): pass\n" + many)
    assert flow.understood and set(made) == {"f", "g"}
    last = max(made["g"]) + 4
    assert made["f"] <= flow.reached_from([0]) and made["f"] & flow.reached_from([min(made["f"]) - 4])
    assert not (made["f"] | made["g"]) & flow.reached_from([last])
    assert last not in flow.reaching(made["f"]) and 0 in flow.reaching(made["f"])


def test_what_is_not_understood_reaches_everything(monkeypatch):
    code = compile("def f(): pass\nx = 1\n", "app.py", "exec")
    monkeypatch.setattr(control_flow, "_KNOWN", control_flow._KNOWN - {control_flow._MAKE_FUNCTION})
    flow = Flow(code)
    assert not flow.understood and flow.reaching([0]) is None
    with pytest.raises(NotUnderstood):
        flow.makings(code)


def test_traced_and_specialised_code_is_the_same():
    """Instrumented instructions, and those that have specialised."""
    text = "def f(): pass\nfor i in range(200):\n x = i + 1\n"
    code, cold = compile(text, "app.py", "exec"), places(text)[1]
    sys.settrace(lambda *_: lambda *_: None)
    try:
        exec(code, {})
        traced = Flow(code)
    finally:
        sys.settrace(None)
    exec(code, {})
    for flow in (traced, Flow(code)):
        assert flow.understood and flow.numbers == cold.numbers and flow._jumps == cold._jumps


RESUMING = {"for": "for x in gen():\n break\nelse:\n def f(): pass",
            "for, far": "for x in gen():\n break\n" + " x = y.z + 1\n" * 300 + "else:\n def f(): pass",
            "yield from": "yield from gen()\ndef f(): pass",
            "await": "await coro()\ndef f(): pass"}


@pytest.mark.parametrize("text", RESUMING.values(), ids=RESUMING)
def test_a_frame_that_has_resumed_a_generator_goes_on_behind_it(text):
    """Untraced and specialised, a frame may stand at a cache unit meanwhile (3.12)."""
    stood = set()

    def gen():
        stood.add(sys._getframe(1).f_lasti // 2)
        return
        yield

    async def coro():
        stood.add(sys._getframe(1).f_lasti // 2)
    space = dict(gen=gen, coro=coro)
    if text.startswith("for"):
        code = compile(text, "app.py", "exec")
        run = functools.partial(exec, code, space)
    else:
        kind = "async def" if text.startswith("await") else "def"
        exec("%s around():\n %s" % (kind, text.replace("\n", "\n ")), space)
        code = space["around"].__code__
        run = functools.partial(drained, space["around"])
    for _ in range(60):
        run()
    flow = Flow(code)
    (_, made, _), = flow.makings(code)
    assert stood and stood <= flow.reaching(made) and all(made <= flow.reached_from([unit]) for unit in stood)


def drained(function):
    """A generator or coroutine of the function's runs to its end, which comes at once."""
    with pytest.raises(StopIteration):
        function().send(None)


def test_long_work_lets_others_get_on():
    breaths = []
    code = compile("try:\n" + " x = y + 1\n" * 3000 + "finally: pass\n", "app.py", "exec")
    flow = Flow(code, lambda: breaths.append(1))
    made = len(breaths)
    assert made and flow.reaching([8000]) and len(breaths) > made


def test_a_loop_over_what_is_asynchronous_is_understood():
    """3.14 and later: END_ASYNC_FOR is among the jumps, for debuggers alone; it raises or falls through."""
    space = {}
    exec("async def f(xs):\n async for x in xs: pass", space)
    assert None not in control_flow.after_throw(space["f"].__code__)
