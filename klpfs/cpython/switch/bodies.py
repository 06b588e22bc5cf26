"""Bodies: module-level code on stacks, and class bodies, that will make functions of a transition again.

A body that runs has the code of its definitions as constants, as it was compiled: from a loop around a `def` come
functions with old code, however often they are patched. So a body is in the way while the instruction that loads old
code can still be reached from where it stands (control_flow.py). A body with its definitions behind it, as nearly every
main program is, is not. Once that is so it stays so: a look that has found it so need not look there again.

Code around a definition that lies in another function is a side itself (images/image_table.py), so functions' frames
are not asked. What a body does by exec() of other code is not seen before that code runs.
"""
from __future__ import annotations

from weakref import ref

from ..control_flow import Flow, NotUnderstood
from ..looks import names_for_people
from ..raw import SUSPENDS, inner, is_definition
from .rules import BREAK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    from ..looks.threads import Places, Stack
    from .switching import Transition

_id, _len, _set, _max, _frozenset, _ref, _list, _dict = id, len, set, max, frozenset, ref, list, dict

NAMED = 3           # functions that a Blocker names
PLAIN = 2000        # so many plain codes are kept, and those of one round more


class Making:
    """What a body makes of one of its constants. code_id: that code's; ids: of the codes of sides that come to be
    functions by it, also when it is called at once; made, called: units of bytecode, see control_flow.py."""

    __slots__ = ("code_id", "ids", "made", "called")

    def __init__(self, code_id: int, ids: frozenset[int], made: set[int], called: set[int]) -> None:
        self.code_id, self.ids, self.made, self.called = code_id, ids, made, called

    def units(self, above: int) -> set[int]:
        """The units at which it is yet to be done. above: the id of the code that the frame above runs: when that is
        what is called here, it has its own account."""
        return self.made if above == self.code_id else self.made | self.called


class Body:
    """A body whose constants hold code of a transition. reference: to its code, which is not kept. ids: of all codes of
    sides that it may make functions of. makings: None: it can't be followed, so it may make all of them wherever it
    stands. reaching: {(goal, code above, or 0): units from which it may still make what is not the goal's; None:
    all}."""

    __slots__ = ("reference", "ids", "flow", "makings", "reaching")

    def __init__(self, code: CodeType, ids: frozenset[int], flow: Flow, makings: list[Making] | None) -> None:
        self.reference, self.ids, self.flow, self.makings = _ref(code), ids, flow, makings
        self.reaching: dict[tuple[int, int], set[int] | None] = {}


class Bodies:
    """The bodies on stacks, as far as a transition has seen them."""

    __slots__ = ("_plain", "_plain_codes", "_bodies", "_size", "_found")

    def __init__(self) -> None:
        self._start(0)

    def _start(self, size: int) -> None:
        """Nothing is known. size: how many codes the transition has."""
        self._forget_plain()
        self._bodies: dict[int, Body] = {}      # id of code -> its Body
        self._size = size
        # ident or key of a greenlet -> (Body, unit, code above, where it stands) of what was in the way there
        self._found: dict[int, tuple[Body, int, int, str]] = {}

    def _forget_plain(self) -> None:
        # ids of codes that make nothing of the transition; the codes, so that no other gets such an id meanwhile
        self._plain: set[int] = _set()
        self._plain_codes: list[CodeType] = []

    def forget(self) -> None:
        """The transition is over."""
        self._start(0)

    def begin(self, transition: Transition) -> None:
        """A round of looks begins. The transition may have got more codes, and a program that executes ever fresh code
        (templates) gets rid of what it has executed."""
        if self._size != _len(transition.codes):
            self._start(_len(transition.codes))
        elif _len(self._plain_codes) > PLAIN:
            self._forget_plain()

    def are_known(self, stack: Stack) -> bool:
        """Whether a stack, ids of codes, is known to have neither a body that makes something of the transition, nor a
        side of it, nor a dispatcher, nor a mark of a cut stack: nothing else need be asked."""
        return self._plain.issuperset(stack)

    def are_plain(self, stack: Stack, transition: Transition) -> bool:
        """Whether no code of a stack can be a body that makes something of the transition; False: maybe, the places
        will tell."""
        if "again" in BREAK:
            return True
        plain, sides = self._plain, transition.side_of_code     # with the dispatchers
        return not [key for key in stack if key not in plain and key not in sides and key > SUSPENDS]

    def are_past(self, key: int, places: Places, transition: Transition) -> bool:
        """Whether no body on a stack can make old code a function again. key: an ident, or a greenlet's."""
        above, code_id, goal = 0, 0, transition.state.goal
        for lasti, line, code in places:
            above, code_id = code_id, _id(code)
            if code_id in self._plain or code_id in transition.side_of_code:
                continue
            body = self._bodies.get(code_id)
            if body is None or body.reference() is not code:
                body = self._take_up(code, transition)
            if body is None:
                self._plain.add(code_id)
                self._plain_codes.append(code)
                continue
            self._bodies[code_id] = body
            units, unit = self._reaching(body, goal, above, transition), _max(lasti, 0) // 2
            if units is None or unit in units:
                self._found[key] = body, unit, above, names_for_people.frame(code, line)
                return False
        return True

    def _take_up(self, code: CodeType, transition: Transition) -> Body | None:
        """The Body of a code; None: it makes nothing of the transition."""
        if is_definition(code):
            return None
        ids = _made(code, transition)
        if not ids:
            return None
        flow = Flow(code, transition.take_breath)
        try:
            makings = [Making(_id(made), _made_by(made, transition), units, called)
                       for made, units, called in flow.makings(code)]
        except (NotUnderstood, IndexError, ValueError):
            return Body(code, ids, flow, None)
        return Body(code, ids, flow, [making for making in makings if making.ids])

    def _reaching(self, body: Body, goal: int, above: int, transition: Transition) -> set[int] | None:
        """See Body.reaching."""
        old = transition.blocking_ids[goal]
        if body.makings is None:
            return _set() if old.isdisjoint(body.ids) else None
        key = goal, above if [1 for making in body.makings if making.code_id == above] else 0
        if key not in body.reaching:
            wanted: set[int] = _set()
            wanted.update(*[making.units(above) for making in body.makings if not old.isdisjoint(making.ids)])
            body.reaching[key] = body.flow.reaching(wanted)
        return body.reaching[key]

    def words(self, key: int, transition: Transition) -> str:
        """What was in the way there: 'app.py:7 <module> will make f again'."""
        body, unit, above, where = self._found[key]
        old = transition.blocking_ids[transition.state.goal]
        ids = body.ids
        if body.makings is not None:
            ahead = body.flow.reached_from((unit,))
            ids = _frozenset().union(*[making.ids for making in body.makings
                                       if not ahead.isdisjoint(making.units(above))])
        names = [names_for_people.function_name(code) for code_id, code in transition.codes.items()
                 if code_id in old and code_id in ids]
        names = _list(_dict.fromkeys(names))        # two definitions may have one name
        more = f" and {_len(names) - NAMED} more" if _len(names) > NAMED else ""
        # without its folder, since a Blocker's name is cut; the frames have it
        return f"{where.rpartition('/')[2]} will make {', '.join(names[:NAMED])}{more} again"


def _made(code: CodeType, transition: Transition) -> frozenset[int]:
    """The ids of all codes of sides that a body may make functions of, also by what is called at once in it."""
    found: set[int] = _set()
    todo = [code]
    while todo:
        for const in inner(todo.pop()):
            if is_definition(const):
                found.add(_id(const))
            else:
                todo.append(const)
    return _frozenset(code_id for code_id in found if code_id in transition.codes)


def _made_by(code: CodeType, transition: Transition) -> frozenset[int]:
    """The ids of the codes of sides that come to be functions by what a body makes of one of its constants."""
    if is_definition(code):
        return _frozenset((_id(code),)) if _id(code) in transition.codes else _frozenset()
    return _made(code, transition)
