"""The steps of a transition, what each leaves behind, and that nothing is half done."""
import gc

import pytest

from klpfs.cpython.images import image, version_numbers
from klpfs.cpython.switch import choice, live_dispatchers, rounds
from klpfs.cpython.switch.choice import CLEAN, OVER, PREPARE, RUN
from klpfs.cpython.switch.entry import Entry
from klpfs.cpython.switch.switching import Transition
from klpfs.engine import target
from klpfs.engine.error import KlpError
from tests.cpython.programs import done, entry, functions, make, switch, transition, try_clean

SOURCE = "def A(x=1):\n return ({v}, B(), x)\ndef B(): return {v}\ndef G():\n yield {v}\n yield B()"


@pytest.fixture
def d():
    return make(SOURCE)


def held(d):
    return [(f, f.__code__, f.__defaults__, version_numbers.number_of(f)) for f in functions(d[0]).values()]


def test_the_steps(d):
    """PREPARE, RUN, CLEAN, OVER, and what calls answer in each."""
    t = transition(d[0], d[1])
    assert t.mode == PREPARE and d[0]["A"]() == (0, 0, 1)
    t.install()
    assert d[0]["A"]() == (0, 0, 1) and not t.started
    t.start()
    assert t.mode == RUN and t.goal == 1 and not t.clean and d[0]["A"]() == (1, 1, 1)
    assert t.look() == [] and t.clean and t.mode == CLEAN and d[0]["A"]() == (1, 1, 1)
    assert t.look() == []
    t.finish()
    assert t.mode == OVER and d[0]["A"]() == (1, 1, 1) and list(d[0]["G"]()) == [1, 1]
    assert d[0]["A"].__code__ is switch(t, "A").after.code


def test_cancel_leaves_everything_as_it_was(d):
    was = held(d)
    t = transition(d[0], d[1])
    t.install()
    t.cancel()
    assert held(d) == was and t.mode == OVER


def test_a_reversal_leaves_everything_as_it_was(d):
    was = held(d)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    t.reverse()
    assert t.goal == 0 and d[0]["A"]() == (0, 0, 1)
    assert done(t) and held(d) == was


def test_reversals_without_end(d):
    was = held(d)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    for turn in range(7):
        t.look()
        t.reverse()
        assert d[0]["A"]() == (turn & 1, turn & 1, 1)
    assert done(t) and held(d) == was


def test_started_towards_0(d):
    """A process that begins late, in a transition that was reversed."""
    was = held(d)
    t = transition(d[0], d[1])
    t.install()
    t.start(0)
    assert d[0]["A"]() == (0, 0, 1) and done(t) and held(d) == was


@pytest.mark.parametrize("step", ["start", "reverse", "force", "cancel", "look", "install"])
def test_steps_out_of_order_are_refused(d, step):
    """EINVAL, and nothing changes: here in a transition that is over."""
    t = transition(d[0], d[1])
    t.install()
    t.start()
    assert done(t)
    with pytest.raises(KlpError):
        getattr(t, step)()
    assert d[0]["A"]() == (1, 1, 1)


MOVES = {"add": lambda t: t.add(()), "start": Transition.start,
         "look without a blocker": lambda t: any(try_clean(t) for _ in range(1000)), "force": Transition.force,
         "reverse": Transition.reverse, "finish": Transition.finish, "cancel": Transition.cancel}


@pytest.mark.parametrize("mode, event", [(mode, event) for mode in target.MODES for event in MOVES])
def test_modes_move_as_the_table_of_the_seam_says(d, mode, event):
    """MODE_MOVES, which docs/STATES.md draws: a move of the table leads where it says; any other is refused, or leaves
    the mode."""
    t = transition(d[0], d[1])
    t.install()
    for step in {"PREPARE": (), "RUN": ("start",), "CLEAN": ("start", "force"), "OVER": ("cancel",)}[mode]:
        MOVES[step](t)
    following = target.MODE_MOVES[mode].get(event)
    if following is None:
        try:
            MOVES[event](t)
        except KlpError:
            pass
        following = mode
    else:
        MOVES[event](t)
    assert t.mode == getattr(choice, following)
    if t.mode == PREPARE:
        t.cancel()
    elif t.mode != OVER:
        t.force()
        t.finish()


def test_finish_before_clean_is_refused(d):
    t = transition(d[0], d[1])
    t.install()
    t.start()
    with pytest.raises(KlpError):
        t.finish()
    with pytest.raises(KlpError):
        t.cancel()
    assert done(t)


def test_a_reversal_that_fails_leaves_what_was_forced_forced(stopped, monkeypatch):
    """The code that the force has left running is side 0 of the next transition."""
    d = make("def A():\n r = [{v}, B()]\n stop()\n r.append(B())\n return r\ndef B(): return {v}", stop=stopped.stop)
    stopped(d[0]["A"])
    t = transition(d[0], d[1])
    t.install()
    t.start()
    t.force()

    def fail():
        raise MemoryError
    monkeypatch.setattr(rounds.Rounds, "note_bodies", lambda self: fail())
    with pytest.raises(MemoryError):
        t.reverse()
    monkeypatch.undo()
    t.finish()
    t2 = transition(d[0], d[2])
    t2.install()
    t2.start()
    assert [b.kind for b in t2.look()] == ["thread"]
    assert stopped.go() == [[0, 0, 1]] and done(t2)


def test_force_passes_over_who_runs_old_code(stopped):
    """The others are at the goal; the frame goes on in old code, and is named in the next transition."""
    d = make("def A():\n r = [{v}, B()]\n stop()\n r.append(B())\n return r\ndef B(): return {v}", stop=stopped.stop)
    stopped(d[0]["A"])
    t = transition(d[0], d[1])
    t.install()
    t.start()
    assert [b.kind for b in t.look()] == ["thread"]
    t.force()
    assert t.clean and t.look() == [] and d[0]["B"]() == 1
    t.finish()
    t2 = transition(d[0], d[2])
    t2.install()
    t2.start()
    assert [b.kind for b in t2.look()] == ["thread"]
    assert stopped.go() == [[0, 0, 1]], "it counts as side 0, which is what was in force before t2: the new B of t"
    assert done(t2) and d[0]["B"]() == 2


def test_a_forced_reversal_remembers_the_new_code(stopped):
    """Force on the way back: frames of side 1 are what is left."""
    d = make("def A():\n stop()\n return ({v}, B())\ndef B(): return {v}", stop=stopped.stop)
    t = transition(d[0], d[1])
    t.install()
    t.start()
    stopped(d[0]["A"])
    t.reverse()
    assert not try_clean(t)
    t.force()
    t.finish()
    assert d[0]["B"]() == 0
    t2 = transition(d[0], d[2])
    t2.install()
    t2.start()
    assert not try_clean(t2)
    stopped.go()
    assert done(t2)


def test_older_code_is_only_watched(stopped):
    """An entry whose code does not change: no dispatcher, but frames of older code block."""
    d = make("def A():\n stop()\n return {v}", stop=stopped.stop)
    stopped(d[0]["A"])
    f, old = d[0]["A"], d[0]["A"].__code__
    t = transition(d[0], d[1])
    t.install()
    t.start()
    t.force()
    t.finish()
    now = image.capture(f)
    # as if the force had been long ago, in other hands: the entry alone says it
    live_dispatchers._registry.clear()
    t2 = Transition([Entry(f, now, now, (old,))])
    del old             # a reference that nobody accounts for
    t2.install()
    assert f.__code__ is now.code
    t2.start()
    assert [b.kind for b in t2.look()] == ["thread"]
    stopped.go()
    assert done(t2) and f.__code__ is now.code


def test_what_is_in_force_fits_both_when_only_watched(stopped):
    """Frames of the unchanged code are in nobody's way."""
    d = make("def A():\n stop()\n return {v}", stop=stopped.stop)
    stopped(d[0]["A"])
    now = image.capture(d[0]["A"])
    t = Transition([Entry(d[0]["A"], now, now)])
    t.install()
    t.start()
    assert t.look() == []
    t.finish()


def test_a_function_in_transition_is_refused(d):
    """EBUSY, with nothing changed."""
    t = transition(d[0], d[1])
    t.install()
    code = d[0]["A"].__code__
    with pytest.raises(KlpError, match="EBUSY.*A: in transition already"):
        Transition([entry(make(SOURCE)[0]["B"], d[2]["B"]), entry(d[0]["A"], d[2]["A"])])
    assert d[0]["A"].__code__ is code
    with pytest.raises(KlpError, match="EBUSY"):
        t.add([entry(d[0]["A"], d[2]["A"])])
    t.start()
    assert done(t)
    with pytest.raises(KlpError, match="EBUSY"):
        Transition([entry(d[0]["A"], d[2]["A"])] * 2)


def test_a_code_that_would_be_old_and_new_at_once_is_refused(d):
    """Two functions that exchange their code objects: frames could not be told apart."""
    a, b = image.capture(d[0]["B"]), image.capture(d[1]["B"])
    with pytest.raises(KlpError, match="old and new at once"):
        Transition([Entry(d[0]["B"], a, b), Entry(d[1]["B"], b, a)])


def test_a_failing_add_changes_nothing(d):
    t = transition(d[0], d[1], only="AG")
    t.install()
    t.start()
    sides, b = dict(t.side_of_code), d[0]["B"].__code__
    with pytest.raises(KlpError):
        t.add([entry(d[0]["B"], d[1]["B"]), Entry(d[0]["A"], image.capture(d[0]["A"]), image.capture(d[1]["G"]))])
    assert t.side_of_code == sides and d[0]["B"].__code__ is b and d[0]["B"]() == 0
    assert done(t)


@pytest.mark.parametrize("when", ["prepared", "started", "reversed", "clean"])
def test_functions_that_come_answer_as_the_others_do(d, when):
    e = make("def other(): return ({v}, B())", B=d[0]["B"])
    t = transition(d[0], d[1])
    t.install()
    if when != "prepared":
        t.start()
    if when == "reversed":
        t.reverse()
    if when == "clean":
        assert try_clean(t)
    t.add([entry(e[0]["other"], e[1]["other"])])
    side = 1 if when in ("started", "clean") else 0
    assert e[0]["other"]() == (side, side)
    if when == "prepared":
        t.start()
    assert t.clean == (when == "clean")
    assert done(t) and e[0]["other"]() == ((0, 0) if when == "reversed" else (1, 1))


def test_functions_that_go_end_at_the_goal(d):
    """Functions of an object that goes are dispatchers until the end, for code that still calls them."""
    t = transition(d[0], d[1])
    t.install()
    t.start()
    assert d[0]["B"]() == 1
    t.reverse()
    assert d[0]["B"]() == 0 and done(t)
    assert d[0]["B"].__code__ is switch(t, "B").before.code


def test_collection_waits_while_dispatchers_come_and_go(d):
    """Our allocations collect nothing of the program's within a slice; afterwards collection is on as before."""
    on = []
    t = Transition([entry(f, d[1][n]) for n, f in functions(d[0]).items()], breathe=lambda: on.append(gc.isenabled()))
    t.sliced(lambda: on.append(("inside", gc.isenabled())))
    assert on == [("inside", False)] and gc.isenabled()
    t.install()
    t.start()
    assert done(t) and gc.isenabled()


def test_a_breath_outside_a_slice_leaves_collection_on(d):
    """It let go of nothing, and turned collection off for good."""
    on = []
    t = Transition([entry(f, d[1][n]) for n, f in functions(d[0]).items()], breathe=lambda: on.append(gc.isenabled()))
    t.take_breath()
    assert on == [True] and gc.isenabled()
    t.sliced(t.take_breath)
    assert on == [True, True] and gc.isenabled()


def test_what_is_missed_is_asked_for_while_the_stack_decides():
    """And tasks are looked at again where that adds functions; CLEAN comes when nothing is missed any more."""
    d, other, seen = make("def f(): return {v}"), make("def g(): return {v}"), []
    t = transition(d[0], d[1])
    t.install()
    t.start()

    def missed():
        seen.append(t.mode)
        if len(seen) == 1:
            t.add([entry(other[0]["g"], other[1]["g"])])
        return []
    assert t.look(missed) == [] and seen == [RUN, RUN] and t.mode == CLEAN
    assert t.look(missed) == [] and len(seen) == 2
    t.reverse()
    assert [b.name for b in t.look(lambda: [target.Blocker("suspended", 0, "missed")])] == ["missed"]
    assert t.mode == RUN and done(t)


def test_what_a_thread_has_chosen_does_not_count_while_functions_come(monkeypatch):
    """It runs the old code of one of them: which was nothing to choose by before."""
    d, seen = make("def f(): return {v}\ndef g(act): act(); return {v}, f()"), []
    t = transition(d[0], d[1], only="f")
    t.install()
    t.start()
    give = Transition.give_dispatchers

    def meanwhile(self, switches):
        seen.append(d[0]["f"]())
        give(self, switches)
        seen.append(d[0]["f"]())
    monkeypatch.setattr(Transition, "give_dispatchers", meanwhile)
    assert d[0]["f"]() == 1, "and that is remembered"
    assert d[0]["g"](lambda: t.add([entry(d[0]["g"], d[1]["g"])])) == (0, 0) and seen == [0, 0]
    assert d[0]["g"](lambda: None) == (1, 1) and done(t)


def test_codes_that_come_while_a_choice_reads_them():
    """Up to 3.11 a collection may begin wherever an object is made, and the agent's thread runs in a finalizer."""
    d = make("".join(f"def g{n}(): yield from ({{v}},)\n" for n in range(300)))
    t = transition(d[0], d[1])
    t.install()
    t.start()

    def come(phase, info):
        code = compile("0", "", "eval")
        t.codes[id(code)] = code
    expected, thresholds = t.waiting_codes(), gc.get_threshold()
    assert len(expected) >= 300
    gc.collect()                    # and no tuple is left that could be had again
    gc.callbacks.append(come)
    try:
        gc.set_threshold(50, 1000, 1000)
        assert t.waiting_codes() == expected
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(come)
    assert done(t)


def test_functions_that_come_behind_each_look_are_in_the_way():
    d = make("def f(): return {v}")
    t = transition(d[0], d[1])
    t.install()
    t.start()

    def missed():
        other = make("def g(): return {v}")
        t.add([entry(other[0]["g"], other[1]["g"])])
        return []
    assert [b.name for b in t.look(missed)] == ["function objects have just been made"] and t.mode == RUN
    assert done(t)
