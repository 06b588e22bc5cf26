"""Modules that the program imports: patched before the importing code goes on, or not held up for ever."""
import sys
import threading
import time

import pytest

from tests.agent.depth import below, room_for

PATCH = "patch = Patch([Object('klp_late', [Func('h', lambda: None)])])"


@pytest.fixture
def late(agent, c):
    """The module klp_late of the puppet program comes when this is called; a patch waits for it."""
    agent.target.sources["klp_late"] = ["h"]
    c.insmod("lp", PATCH)
    return lambda: agent.target.load("klp_late")


def test_its_functions_are_patched_when_coming_returns(agent, late):
    """In the program's thread, by the agent's."""
    late()
    agent.imports.coming("klp_late")
    assert agent.target.value("h", "klp_late") == "h by lp" and agent.target.mods["klp_late"].state == "LIVE"


def test_a_module_that_no_patch_waits_for_holds_nobody_up(agent, late, monkeypatch):
    """Nothing is asked of the agent's thread."""
    monkeypatch.setattr(type(agent.thread), "have_done", lambda *args: pytest.fail("waits"))
    agent.imports.coming("json")


def test_what_was_put_into_sys_modules_by_hand_is_found_with_the_next_import(agent, late, monkeypatch):
    late()
    assert agent.imports.put_by_hand() == []
    monkeypatch.setitem(sys.modules, "klp_late", None)
    assert agent.imports.put_by_hand() == ["klp_late"] and agent.imports.put_by_hand("klp_late") == []
    agent.imports.coming("json")
    assert agent.target.value("h", "klp_late") == "h by lp" and agent.imports.put_by_hand() == []


@pytest.fixture
def hangs(agent, c, late):
    """Foreign code that hangs until this lock is released; imports wait for it for a moment."""
    agent.limits.import_ = 0.05
    agent.parts.shared["lock"] = lock = threading.Lock()
    lock.acquire()
    c.change("hangs", "def init(): shared['lock'].acquire()")
    c.until(lambda c: agent.foreign.working and agent.foreign.working["what"].startswith("init"), "init")
    return lock


def test_an_import_goes_on_unpatched_while_foreign_code_hangs(agent, c, late, hangs, monkeypatch):
    """After a bounded time, with a line; what was put by hand waits for the same foreign code only once."""
    late()
    agent.imports.coming("klp_late")
    c.until_line("module 'klp_late' was imported while 'init of 'hangs'' runs; it goes on unpatched")
    assert agent.target.value("h", "klp_late") == "h original"
    monkeypatch.setitem(sys.modules, "klp_late", None)
    agent.limits.import_ = 1000
    begun = time.monotonic()
    agent.imports.coming("json")
    assert time.monotonic() - begun < 100
    hangs.release()
    c.until(lambda c: (c.report.get("prepared") or {}).get("n"), "the end of init")


def test_what_is_no_module_object_is_said(agent, c, late, monkeypatch):
    monkeypatch.setitem(sys.modules, "klp_late", object())
    agent.imports.coming("klp_late")
    c.until_line("'klp_late' in sys.modules is no module object, it goes on unpatched")


@pytest.mark.parametrize("left", [80, 30, 20])
def test_an_import_with_little_room_on_the_stack_is_patched(agent, c, late, left):
    """With less than it takes to wait for the agent's thread, soon after it has gone on."""
    late()
    with room_for(100):
        below(100 - left, lambda: agent.imports.coming("klp_late"))
    c.until(lambda c: agent.target.value("h", "klp_late") == "h by lp", "the module's patch")


def test_an_import_without_room_on_the_stack_is_refused_or_patched(agent, c, late):
    """RecursionError, and the agent lives: the next is patched."""
    late()
    refused = 0
    with room_for(100):
        for depth in range(80, 110):
            try:
                below(depth, lambda: agent.imports.coming("klp_late"))
            except RecursionError:
                refused += 1
    assert refused
    agent.imports.coming("klp_late")
    assert agent.target.value("h", "klp_late") == "h by lp"


def test_reloads_that_nobody_has_told_of_hold_nobody_up_twice(agent, c, hangs, monkeypatch):
    """Where foreign code has been waited for in vain; and no line says that another module goes on unpatched."""
    monkeypatch.setattr(type(agent.target), "loaded_again", lambda self: ["klp_late"])
    agent.imports.coming("json")
    agent.limits.import_ = 1000
    begun = time.monotonic()
    agent.imports.coming("json")
    assert time.monotonic() - begun < 100
    hangs.release()
    c.until(lambda c: (c.report.get("prepared") or {}).get("n"), "the end of init")
    assert not [text for text in c.lines if "goes on unpatched" in text]


def test_klpfs_own_imports_are_applied_in_the_step(agent, late):
    """In the agent's thread itself, which would wait for itself for ever."""
    late()
    assert agent.thread.have_done(lambda: agent.imports.coming("klp_late"), 10)
    assert agent.target.value("h", "klp_late") == "h by lp"
