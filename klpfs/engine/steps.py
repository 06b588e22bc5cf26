"""The steps of a transition and every move from one step to the next, as tables; Machine checks each move by them.

Three machines walk through the same steps: patching (an enable), unpatching (a disable), arrival (the functions of a
late main program, see late_main.py). docs/STATES.md is written from these tables (scripts/states), and
tests/engine/test_steps.py proves that the engine makes each of these moves and no other.
"""
from __future__ import annotations

from errno import EINVAL

from klpfs.engine.error import KlpError
from klpfs.engine.log import ERR, MODULE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from klpfs.engine.core import Engine
    from klpfs.engine.target import TargetTransition

IDLE, PREPARING, PREPARED, STARTED, FINISHING = "idle", "preparing", "prepared", "started", "finishing"

STEPS = {
    IDLE: "There is no transition.",
    PREPARING: "The pre_patch or pre_unpatch callbacks run; for a disable the dispatchers are there already.",
    PREPARED: "The dispatchers answer version 0 (patching only: a disable and an arrival start at once).",
    STARTED: "Tasks switch as they are seen clean; the transition may be reversed, also when clean, and forced.",
    FINISHING: "The goal's images are in place; the post_patch or post_unpatch callbacks run.",
}

# machine -> step -> what happens -> the next step. "finish" and "cancel" in FINISHING go on where a fork has cut them
# off.
MOVES = {
    "patching": {
        IDLE: {"enable": PREPARING},
        PREPARING: {"prepared": PREPARED, "cancel": FINISHING},
        PREPARED: {"start": STARTED, "cancel": FINISHING},
        STARTED: {"look": STARTED, "reverse": STARTED, "force": STARTED, "finish": FINISHING},
        FINISHING: {"finish": FINISHING, "cancel": FINISHING, "end": IDLE},
    },
    "unpatching": {
        IDLE: {"disable": PREPARING},
        PREPARING: {"start at once": STARTED, "abandon": IDLE},
        STARTED: {"look": STARTED, "reverse": STARTED, "force": STARTED, "finish": FINISHING},
        FINISHING: {"finish": FINISHING, "end": IDLE},
    },
    "arrival": {
        IDLE: {"arrive": PREPARING},
        PREPARING: {"start at once": STARTED, "abandon": IDLE},
        STARTED: {"look": STARTED, "force": STARTED, "finish": FINISHING},
        FINISHING: {"finish": FINISHING, "end": IDLE},
    },
}

MEANINGS = {
    "enable": "Engine.enable: the checks are passed (klp_init_transition)",
    "disable": "Engine.disable: the patch is in force (klp_init_transition)",
    "arrive": "Engine.arrive: the definitions of the main program are there",
    "prepared": "every pre_patch callback has succeeded, the dispatchers are in place",
    "start": "Engine.start (klp_start_transition)",
    "start at once": "the callbacks have run, the dispatchers are in place (klp_start_transition)",
    "look": "Engine.look, Engine.look_arrival: one look for tasks that are not clean (klp_try_complete_transition)",
    "reverse": "Engine.reverse (klp_reverse_transition)",
    "force": "Engine.force, Engine.force_arrival (klp_force_transition)",
    "finish": "Engine.finish, Engine.finish_arrival: every task is clean (klp_complete_transition)",
    "cancel": "Engine.cancel, or a failure of Engine.enable (klp_cancel_transition)",
    "abandon": "the dispatchers can't be made, there is nothing to patch, or a fork has cut the callbacks off",
    "end": "the last callback has run; patches that went are freed",
}


class Machine:
    """A Transition or an Arrival: its step, which changes by MOVES alone. name: which of the machines it is. in_target:
    the target's transition; None before the dispatchers are there, and once the goal's images are."""

    __slots__ = ("engine", "name", "step", "in_target")

    def __init__(self, engine: Engine, name: str, event: str) -> None:
        self.engine, self.name, self.step = engine, name, IDLE
        self.in_target: TargetTransition | None = None
        self.move(event)

    @property
    def clean(self) -> bool:
        return self.in_target is not None and self.in_target.clean

    @property
    def _target_transition(self) -> TargetTransition:
        """The target's transition, for the steps that follow its making."""
        assert self.in_target is not None       # MOVES lets them follow it alone
        return self.in_target

    def can(self, *events: str) -> bool:
        """Whether one of these events has a place in the table now."""
        moves = MOVES[self.name].get(self.step, {})
        return any([event in moves for event in events])

    def after(self, event: str) -> str:
        """The step that `event` leads to. A move that is not in the table is a defect of klpfs, which core.py should
        have refused: one line in the log, and KlpError(EINVAL) before anything is done."""
        step = MOVES[self.name].get(self.step, {}).get(event)
        if step is None:
            text = f"klpfs: defect: '{event}' in step '{self.step}' of {self.name}"
            self.engine.log.add(text, ERR, MODULE)
            raise KlpError(EINVAL, text)
        return step

    def move(self, event: str) -> None:
        """Go to the step that `event` leads to."""
        self.step = self.after(event)
