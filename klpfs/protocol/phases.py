"""Progress of an operation in the four vocabularies that klpfs has for it, and the one table that maps them.

    journal step    what is decided for the whole service: the record's `change`, and `step` of its `transition`
    agent phase     what a process reports of its part in the operation (wire.py, `phase`)
    engine step     where the engine of that process is (engine/steps.py)
    target mode     where the dispatchers of that process are (engine/target.py)

An agent derives its phase from the engine's step by this table; a coordinator decides by journal step and phases. A
process may lag behind the journal (it was silent, or works): then its phase is that of an earlier row. docs/STATES.md
shows the table.
"""
from __future__ import annotations

from klpfs.engine import steps as engine
from klpfs.engine import target

IDLE, CHANGE, START, FINISH = "idle", "change", "start", "finish"

JOURNAL_STEPS = {
    IDLE: "There is no operation.",
    CHANGE: "A load is being prepared; nothing is decided.",
    START: "The operation is decided and was answered with success; the direction is open.",
    FINISH: "The direction is decided: the outcome is put in place.",
}

NO_PHASE, LOADING, PREPARED, STARTED, FINISHING = "", "loading", "prepared", "started", "finishing"

AGENT_PHASES = {
    NO_PHASE: "This process takes part in no operation.",
    LOADING: "The module's top level, its init() and pre_patch callbacks run.",
    PREPARED: "The dispatchers answer as before; init() waits in enable_patch(). Of an ordinary module: it is loaded.",
    STARTED: "The transition is under way; `clean` says whether every task of this process has switched.",
    FINISHING: "The outcome is in place; the last callbacks run.",
}

PATCHING, UNPATCHING = "patching", "unpatching"


class Row:
    """A moment of an operation. machine: which of engine/steps.py's MOVES; mode: None when the target has no
    transition; clean: as reported; text: what happens."""

    __slots__ = ("machine", "journal", "phase", "step", "mode", "clean", "text")

    def __init__(self, machine: str, journal: str, phase: str, step: str, mode: str | None, clean: bool,
                 text: str) -> None:
        self.machine, self.journal, self.phase, self.step = machine, journal, phase, step
        self.mode, self.clean, self.text = mode, clean, text


TABLE = (
    Row(PATCHING, CHANGE, LOADING, engine.IDLE, None, False, "the file's top level and init() run"),
    Row(PATCHING, CHANGE, LOADING, engine.PREPARING, None, False, "enable_patch(): pre_patch callbacks run"),
    Row(PATCHING, CHANGE, PREPARED, engine.PREPARED, target.PREPARE, False, "enable_patch() waits for the decision"),
    Row(PATCHING, START, STARTED, engine.STARTED, target.RUN, False, "tasks switch; a reversal leads here again"),
    Row(PATCHING, START, STARTED, engine.STARTED, target.CLEAN, True, "every task of this process has switched"),
    Row(PATCHING, FINISH, FINISHING, engine.FINISHING, None, False, "images in place; post_patch (post_unpatch)"),
    Row(PATCHING, FINISH, NO_PHASE, engine.IDLE, None, False, "over here; other processes are waited for"),
    Row(PATCHING, IDLE, NO_PHASE, engine.IDLE, None, False, "the operation is over"),
    Row(UNPATCHING, START, STARTED, engine.PREPARING, target.PREPARE, False, "pre_unpatch callbacks run"),
    Row(UNPATCHING, START, STARTED, engine.STARTED, target.RUN, False, "tasks switch; a reversal leads here again"),
    Row(UNPATCHING, START, STARTED, engine.STARTED, target.CLEAN, True, "every task of this process has switched"),
    Row(UNPATCHING, FINISH, FINISHING, engine.FINISHING, None, False, "images in place; post_unpatch (post_patch)"),
    Row(UNPATCHING, FINISH, NO_PHASE, engine.IDLE, None, False, "over here; other processes are waited for"),
    Row(UNPATCHING, IDLE, NO_PHASE, engine.IDLE, None, False, "the operation is over"),
)

# In IDLE a transition has ended, or not begun: the process takes part in nothing, or loads, which the engine can't
# know.
_PHASES = {(row.machine, row.step): NO_PHASE if row.step == engine.IDLE else row.phase for row in TABLE}


def phase_of(machine: str, step: str) -> str:
    """The phase of an agent whose engine is in this step of this machine: what it reports of the operation. KeyError:
    the machine has no such step."""
    return _PHASES[machine, step]
