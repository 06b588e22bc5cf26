"""Annotations that are evaluated when somebody asks (3.14): taken and put without asking."""
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.cpython.images import image
from tests.cpython.programs import back, done, new_image, switched

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated when they are made")

TEXT = """
def typed(x: Missing, y: int = 0) -> Later: return 0
def other(x: Elsewhere, z: str = ""): return 1
def bare(x): return 2
"""


def functions(text=TEXT):
    space = {}
    exec(text, space)
    return space


def raw(function):
    """What the function object holds of annotations: (__annotate__, the dict that is there, or None)."""
    annotate = function.__annotate__
    dict_ = function.__annotations__ if annotate is None else image._cached(function, annotate)
    return annotate, dict_


@pytest.mark.parametrize("new", ["other", "bare"])
def test_nothing_is_evaluated(new):
    """Neither the original's nor the new function's: each would be a NameError."""
    space = functions()
    typed, new = space["typed"], space[new]
    was = typed.__annotate__
    t = switched(typed, new)
    assert typed(1) in (1, 2) and typed.__annotate__ is new.__annotate__
    t = back(t)
    t.install()
    t.start()
    assert done(t) and raw(typed) == (was, None)


def test_a_new_version_without_annotations_shows_none():
    """Though somebody has asked for the original's before."""
    space = functions()
    space.update(Missing=int, Later=str)
    typed = space["typed"]
    asked = typed.__annotations__
    t = switched(typed, space["bare"])
    assert typed.__annotations__ == {} and asked == {"x": int, "y": int, "return": str}
    t = back(t)
    t.install()
    t.start()
    assert done(t) and typed.__annotations__ is asked


def test_what_the_program_wrote_into_its_annotations_is_there_again():
    """The very dict, and the function that made it."""
    space = functions()
    space.update(Missing=int, Later=str)
    typed = space["typed"]
    annotate, asked = typed.__annotate__, typed.__annotations__
    asked["more"] = bytes
    t = switched(typed, space["other"])
    space["Elsewhere"] = list
    assert typed.__annotations__ == {"x": list, "z": str}
    t = back(t)
    t.install()
    t.start()
    assert done(t) and raw(typed) == (annotate, asked) and typed.__annotations__ is asked


_STATES = ("as made", "asked", "written into", "set by hand", "taken away")


def _bring(function, state):
    if state == "set by hand":
        function.__annotations__ = {"by": "hand"}
    elif state == "taken away":
        function.__annotate__ = None
    elif state != "as made":
        function.__annotations__["more" if state == "written into" else "x"] = 7


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["typed", "bare"]), st.sampled_from(_STATES),
       st.lists(st.tuples(st.sampled_from(["typed", "other", "bare"]), st.booleans()), max_size=5))
def test_any_images_one_after_the_other(name, state, steps):
    """After any images the original's gives back what was there; each shows its own annotations."""
    space, others = functions(), [functions(), functions()]
    for each in (space, *others):
        each.update(Missing=int, Later=str, Elsewhere=list)
    function = space[name]
    _bring(function, state)
    was = raw(function)
    original = now = image.capture(function)
    for n, (new, asks) in enumerate(steps):
        new = others[n % 2][new]
        made = new_image(new)
        image.put(function, made, now)
        now = made
        if asks:
            assert function.__annotations__ == new.__annotations__
    image.put(function, original, now)
    assert all(a is b for a, b in zip(raw(function), was))


def test_annotations_that_the_program_sets_meanwhile_stay():
    space = functions()
    typed, own = space["typed"], {"own": 1}
    before, after = image.capture(typed), new_image(space["other"])
    image.put(typed, after, before)
    typed.__annotations__ = own
    image.put(typed, before, after)
    assert typed(1) == 0 and typed.__annotations__ is own
