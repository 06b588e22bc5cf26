"""Choices that are interrupted while they are made, by handlers that call patched functions: all of one stack have one
version, wherever the interrupts come and however many there are.

The functions of a choice are compiled again with a point around every expression of theirs, so before and after each
call of C and wherever the interpreter looks for signals. At a point of the test's choice a handler is called, whose own
choice is interrupted, and so on. On the real functions, a trace function comes between all bytecodes, and a profile
function before and after each call of C.
"""
import __future__

import ast
import inspect
import signal
import sys
import textwrap
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.cpython import c_api
from klpfs.cpython.images import image, version_numbers
from klpfs.cpython.switch import choice, delegation, dispatcher
from tests.cpython.one_version import Watch
from tests.cpython.programs import make, transition, without

# what a choice runs: (module, name there, function)
PARTS = [(dispatcher.Switch, "choose", choice.choose), (choice, "_walk", choice._walk),
         (choice, "_side_on_stack", choice._side_on_stack), (delegation, "may_be", delegation.may_be),
         (choice, "greenlet_api", choice.greenlet_api), (choice, "module_value", choice.module_value),
         (choice, "_callers_frame", c_api.callers_frame), (dispatcher.Switch, "function_of", dispatcher.Switch.function_of),
         (image, "clone", image.clone), (image, "new_function", c_api.new_function)]
if version_numbers.REPAIRS:
    PARTS += [(version_numbers, name, getattr(version_numbers, name)) for name in ("set_number", "number_of_code")]
SOURCE = """
def main(n, call):
 here()
 return through(n, lambda: B(call))
def B(call):
 r = here(), call()
 return r
def H(*ignored):
 r = here(), inner(), inner()
 found.append(r)
def inner(): return here()
{more}
"""
STRICT = "def G(): yield"           # nothing is remembered then


def through(n, call):
    """Deeper down the stack, in functions that are not patched."""
    return through(n - 1, call) if n else call()


class WithPoints(ast.NodeTransformer):
    """Puts a call of _point around each expression that is evaluated."""

    def visit_arguments(self, node):
        return node

    def visit_AnnAssign(self, node):
        node.value = node.value and self.visit(node.value)
        return node

    def visit_FunctionDef(self, node):
        node.returns, node.body = None, [self.visit(each) for each in node.body]
        return node

    def generic_visit(self, node):
        super().generic_visit(node)
        if not isinstance(node, ast.expr) or isinstance(node, (ast.Starred, ast.Slice)) or \
                not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return node
        return ast.copy_location(ast.Call(ast.Name("_point", ast.Load()), [node], []), node)


def with_points(function):
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    space = {}
    exec(compile(ast.fix_missing_locations(WithPoints().visit(tree)), "points.py", "exec",
                 __future__.annotations.compiler_flag), function.__globals__, space)
    return space[function.__name__]


class Interrupts:
    """Calls the handler at the point plan[n] of the n-th level of choices. points: how many each level had so far."""

    def __init__(self):
        self.plan, self.handler, self.points, self.level, self.most = (), None, [0] * 9, 0, [0] * 9

    def point(self, value=None):
        level = self.level
        self.points[level] += 1
        self.most[level] = max(self.most[level], self.points[level])
        if self.handler is not None and level < len(self.plan) and self.points[level] == self.plan[level]:
            self.level, self.points[level + 1] = level + 1, 0
            self.handler()
            self.level = level
        return value


@pytest.fixture
def interrupts():
    it = Interrupts()
    with pytest.MonkeyPatch.context() as patch:
        made = [(module, name, with_points(function)) for module, name, function in PARTS]
        for module, name, function in made:
            patch.setitem(function.__globals__, "_point", it.point)
            patch.setattr(module, name, function)
        yield it


class Trial:
    """A transition, and a stack of one version in which functions are called. below: the version on the stack, None for
    none; goal: what a stack without a version gets; strict: no choice is remembered."""

    def __init__(self, below, goal, depth=0, strict=True):
        self.watch, self.below, self.goal, self.depth = Watch(), below, goal, depth
        self.d = make(SOURCE.replace("{more}", STRICT if strict else ""), here=self.watch.here, found=[],
                      through=through)
        self.n, self.t = self.d[0], transition(self.d[0], self.d[1])
        self.expected = goal if below is None else below

    def run(self, work):
        """Calls work() in the stack."""
        self.t.install()
        if self.below is None:
            self.t.start(self.goal)
            work()
        elif self.below == 0:
            self.n["main"](self.depth, lambda: (self.t.start(self.goal), work()))
        else:
            self.t.start(1)
            self.n["main"](self.depth, lambda: (self.goal == 1 or self.t.reverse(), work()))
        self.t.force()
        self.t.finish()

    def call(self):
        """Calls a function whose dispatcher chooses as if for the first time; gives how many handlers ran."""
        for s in self.t.switches:
            s.functions[0] = s.functions[1] = None
        self.t.state.choices.clear()
        self.n["found"].clear()
        assert self.n["inner"]() == self.expected
        assert not self.watch.mixed, self.watch.mixed[:3]
        assert {version for each in self.n["found"] for version in each} <= {self.expected}
        return len(self.n["found"])


def in_a_thread(work):
    """Runs work() on a short stack."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


STACKS = [(None, 0), (None, 1), (0, 1), (1, 0), (1, 1)]


def interrupted(interrupts, trial, *plan):
    """How many handlers ran in a call that was interrupted at the points of the plan."""
    interrupts.plan, interrupts.handler, interrupts.points, interrupts.level = plan, trial.n["H"], [0] * 9, 0
    try:
        return trial.call()
    finally:
        interrupts.handler, interrupts.level = None, 0


@pytest.mark.parametrize("below, goal", STACKS)
def test_an_interrupt_at_every_point(interrupts, below, goal):
    """One handler at each point of a choice; and in that another one, at another point each time."""
    trial, points = Trial(below, goal), []

    def work():
        interrupted(interrupts, trial)
        points.append(interrupts.points[0])
        for point in range(1, points[0] + 1):
            assert interrupted(interrupts, trial, point) == 1
            assert interrupted(interrupts, trial, point, point * 7 % points[0] + 1) == 2
    in_a_thread(lambda: trial.run(work))
    assert points[0] > 80


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("below, goal", STACKS)
def test_interrupts_in_interrupts(interrupts, below, goal, strict):
    """Two to six levels deep, anywhere."""
    trial = Trial(below, goal, 2, strict)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(1, 90), min_size=2, max_size=6))
    def anywhere(plan):
        assert interrupted(interrupts, trial, *plan) >= 1
    trial.run(anywhere)


def test_they_are_found_where_the_third_choice_gives_up(interrupts):
    trial = Trial(1, 1)
    with without("deep"), pytest.raises(AssertionError):
        trial.run(lambda: [interrupted(interrupts, trial, point, point, point) for point in range(1, 80)])


def of_a_choice(code):
    """Whether a code is of a file whose functions a choice runs."""
    name = code.co_filename
    return "klpfs" in name and name.endswith(("choice.py", "dispatcher.py", "image.py", "c_api.py", "version_numbers.py"))


@pytest.mark.parametrize("below, goal", STACKS)
def test_a_signal_between_all_bytecodes(below, goal):
    """A real signal at each bytecode of a choice in turn, whose handler calls patched functions."""
    trial, left, signalled = Trial(below, goal), [0], []

    def tracer(frame, event, arg):
        if not of_a_choice(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                signalled.append(1)
                signal.raise_signal(signal.SIGUSR1)
        return tracer

    def work():
        point = 0
        sys._getframe().f_trace_opcodes = True      # 3.12: settrace looks whether any frame has it
        while len(signalled) == point:
            point += 1
            left[0] = point
            sys.settrace(tracer)
            try:
                trial.call()
            finally:
                sys.settrace(None)
    was = signal.signal(signal.SIGUSR1, trial.n["H"])
    try:
        trial.run(work)
    finally:
        signal.signal(signal.SIGUSR1, was)
    assert len(signalled) > 100


@pytest.mark.parametrize("below, goal", STACKS)
def test_a_call_before_and_after_each_call_of_c(below, goal):
    """A profile function calls a patched function, and the callback of a weak reference another."""
    trial, handled = Trial(below, goal), []

    class Thing:
        pass

    def profile(frame, event, arg):
        if event in ("c_call", "c_return") and of_a_choice(frame.f_code):
            trial.n["H"]()
            thing = Thing()
            reference = weakref.ref(thing, trial.n["H"])
            del thing
            assert reference() is None

    def work():
        sys.setprofile(profile)
        try:
            handled.append(trial.call())
        finally:
            sys.setprofile(None)
    trial.run(work)
    assert handled[0] > 20
