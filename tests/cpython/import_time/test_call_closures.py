"""Closures that a livepatch can't give its code: which of them refuse its load, and which the transition waits for."""
import errno
import functools
import threading

import pytest

from klpfs.cpython.import_time.call_closures import in_the_way, refuse

PROGRAM = """
    def make(n):
        def inner(): return n
        return inner
    def calling(then, n=1):
        def inner(): return n
        then(inner)
    def suspended(n):
        def inner(): return n
        yield inner
"""
CLOSURE = [("make.<locals>.inner", 3)]


def test_none_alive_nothing_is_refused(module):
    live = module(PROGRAM)
    refuse(live.__name__, live.__dict__, CLOSURE, "")
    assert in_the_way(live.__name__, live.__dict__, CLOSURE, "") == []


def test_one_alive_is_refused_by_its_name(module):
    live = module(PROGRAM)
    alive = live.make(1)
    with pytest.raises(OSError, match=r"function 'make.<locals>.inner' of 'live_\d+' is alive") as error:
        refuse(live.__name__, live.__dict__, CLOSURE, "")
    assert error.value.errno == errno.EBUSY and alive() == 1
    assert len(in_the_way(live.__name__, live.__dict__, CLOSURE, "")) == 1


def test_the_names_that_a_decorator_gives_say_nothing(module):
    live = module(PROGRAM)
    alive = functools.wraps(len)(live.make(1))
    assert alive.__qualname__ == "len" and len(in_the_way(live.__name__, live.__dict__, CLOSURE, "")) == 1


def test_the_livepatchs_own_closures_run_new_code(module):
    live = module(PROGRAM)
    alive = live.make(1)
    assert in_the_way(live.__name__, live.__dict__, CLOSURE, alive.__code__.co_filename) == []


def test_of_two_definitions_of_one_name_the_line_tells(module):
    live = module("""
        def make(n):
            if n:
                def inner(): return 1
            else:
                def inner(): return 2
            return inner
    """)
    live.__file__ = live.make.__code__.co_filename
    one, two = live.make(1), live.make(0)
    assert [each.task for each in in_the_way(None, live.__dict__, [("make.<locals>.inner", 4)], "")] == [id(one)]
    assert [each.task for each in in_the_way(None, live.__dict__, [("make.<locals>.inner", 6)], "")] == [id(two)]


@pytest.mark.parametrize("line", [6, 9])
def test_a_call_that_is_under_way_is_waited_for(module, line):
    """In a thread, or suspended."""
    live = module(PROGRAM)
    name = {6: "calling", 9: "suspended"}[line]
    closure = [(f"{name}.<locals>.inner", line)]
    if line == 9:
        call = live.suspended(1)
        alive = next(call)
        refuse(live.__name__, live.__dict__, closure, "")
        call.close()
        with pytest.raises(OSError):
            refuse(live.__name__, live.__dict__, closure, "")
        assert alive() == 1
        return
    said, kept = [], []

    def then(inner):
        kept.append(inner)
        refuse(live.__name__, live.__dict__, closure, "")
        said.append(in_the_way(live.__name__, live.__dict__, closure, ""))
    thread = threading.Thread(target=live.calling, args=(then,))
    thread.start()
    thread.join()
    assert [each.name for each in said[0]] == [f"function 'calling.<locals>.inner' of '{live.__name__}' is alive"]
    with pytest.raises(OSError):
        refuse(live.__name__, live.__dict__, closure, "")
