"""Control flow of code objects: from which instructions an instruction can still be reached.

For code that runs once and never again as a call, a module's body or a class's: which of its definitions lie behind it
is told by where it stands (switch/bodies.py). Jumps, loops, handlers of exceptions and `finally` blocks are followed;
conditions are not judged. Where anything is not understood, everything can be reached.

A unit is two bytes of bytecode: an instruction, its EXTENDED_ARG, or an inline cache behind it. `f_lasti` counts bytes;
between two instructions it is that of the last, so whatever is asked about a unit is about the unit itself, too. While
a generator runs that an instruction has resumed, it is that of the instruction's cache (3.12).

Imports no more than raw.py, so that every room may use it; of `opcode` tables and a function of C.
"""
from __future__ import annotations

import opcode
import sys
from types import CodeType

from klpfs.cpython.raw import is_definition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_len, _list, _set, _range, _enumerate, _type, _bytearray, _reversed, _iter, _next = \
    len, list, set, range, enumerate, type, bytearray, reversed, iter, next
_stack_effect = opcode.stack_effect

_SINCE_3_10, _SINCE_3_11 = sys.version_info >= (3, 10), sys.version_info >= (3, 11)
_SLICE = 2000           # units between two breaths
_NAMES = {number: name for name, number in opcode.opmap.items() if not name.startswith(("INSTRUMENTED_", "ENTER_"))}
_numbers = opcode.opmap.get
_KNOWN = frozenset(_NAMES)
_CACHE = 0 if _SINCE_3_11 else -1
_EXTENDED_ARG, _LOAD_CONST, _MAKE_FUNCTION = opcode.EXTENDED_ARG, opcode.opmap["LOAD_CONST"], \
    opcode.opmap["MAKE_FUNCTION"]
_PRECALL, _CALL = _numbers("PRECALL", -1), _numbers("CALL", -1)
# the function stays on top of the stack, or what lies on it stays as it is
_STILL = frozenset((_CACHE, _EXTENDED_ARG, _PRECALL, _numbers("SET_FUNCTION_ATTRIBUTE", -1)))
_CONSTANTS = frozenset(opcode.hasconst)
_ABSOLUTE = frozenset(getattr(opcode, "hasjabs", ()))
_RELATIVE = frozenset(opcode.hasjrel) - {_numbers("END_ASYNC_FOR", -1)}     # 3.14: which jumps for debuggers alone
_BACKWARD = frozenset(number for number, name in _NAMES.items() if "BACKWARD" in name)
_ENDS = frozenset(number for number, name in _NAMES.items() if name in (
    "RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD", "JUMP_ABSOLUTE", "JUMP_BACKWARD",
    "JUMP_BACKWARD_NO_INTERRUPT", "INTERPRETER_EXIT"))
_TAKES_ARGUMENT = frozenset(getattr(opcode, "hasarg", range(opcode.HAVE_ARGUMENT, 256)))
# up to 3.10, where a frame has a stack of blocks
_SETUPS = frozenset() if _SINCE_3_11 else frozenset(
    number for number, name in _NAMES.items() if name in ("SETUP_FINALLY", "SETUP_WITH", "SETUP_ASYNC_WITH"))
_POP_BLOCK = -1 if _SINCE_3_11 else _numbers("POP_BLOCK", -1)
_POP_HANDLER = frozenset() if _SINCE_3_11 else frozenset(
    number for number, name in _NAMES.items() if name in ("POP_EXCEPT", "END_ASYNC_FOR"))
WAITS = frozenset(_numbers(name, -1) for name in ("SEND", "YIELD_FROM")) - {-1}
"""The instructions of `yield from`, `await` and the like."""
ITERATES = WAITS | {opcode.opmap["FOR_ITER"]}
"""The instructions at which a frame stands that resumes another. A frame that a throw() has put on the stack stands at
what it has yielded by, or, up to 3.10, before its YIELD_FROM."""
_IN_HANDLER = -1        # in the place of a block's handler: the block of a handler that runs


_YIELD_VALUE, _CLEANUP_THROW, _RESUME = (_numbers(name, -1) for name in ("YIELD_VALUE", "CLEANUP_THROW", "RESUME"))


_SUSPENDED = frozenset((_YIELD_VALUE, _RESUME, *WAITS))     # 3.11: where a frame that waits stands
_YIELD_FROM = bytes((_numbers("YIELD_FROM", 0),))


class NotUnderstood(Exception):
    """Code whose flow can't be followed."""


def _no_breath() -> None:
    """Work that is not cut into slices."""


class Flow:
    """The control flow of a code object, which is not kept.

    breathe: called between slices of the work, which is long for a long code. numbers, arguments: of each unit.
    understood: False: each unit reaches every other. handlers: the units at which handlers of exceptions begin.
    """

    __slots__ = ("breathe", "numbers", "arguments", "understood", "handlers", "_falls", "_jumps", "_known")

    def __init__(self, code: CodeType, breathe: Callable[[], None] = _no_breath) -> None:
        self.breathe = breathe
        self.numbers, self.arguments = b"", []      # type: tuple[bytes, list[int]]
        self._falls = _bytearray()
        self._jumps: dict[int, tuple[int, ...]] = {}        # unit -> those that it may go on at, but for the next
        self._known: set[int] | None = None                 # units that can be reached at all, where that is told
        self.understood = False
        self.handlers: set[int] = _set()
        try:
            self._read(code.co_code)
            if _SINCE_3_11:
                self._add_handlers(code.co_exceptiontable)  # type: ignore[attr-defined, unused-ignore]
            else:
                self._follow_blocks()
            self.understood = True
        except (NotUnderstood, IndexError, ValueError):
            pass

    # ------------------------------------------------------------------------------------------------------ its making

    def _read(self, raw: bytes) -> None:
        self.numbers = numbers = raw[::2]
        count, argument = _len(numbers), 0
        jump: tuple[int, ...] = ()
        self._falls = falls = _bytearray(b"\1" * count)
        for unit, number in _enumerate(numbers):
            argument = argument << 8 | raw[2 * unit + 1]
            self.arguments.append(argument)
            if number == _EXTENDED_ARG:
                continue
            if number == _CACHE:
                argument = 0
                if jump:        # a frame that stands here goes on as the instruction does: FOR_ITER at its end, too
                    self._jumps[unit] = jump
                continue
            if number not in _KNOWN:
                raise NotUnderstood
            jump = ()
            if number in _ENDS:
                falls[unit] = 0
            if number in _ABSOLUTE or number in _RELATIVE:
                target = self._target(unit, number, argument)
                if not 0 <= target < count:
                    raise NotUnderstood
                self._jumps[unit] = jump = (target,)
            argument = 0
            if unit % _SLICE == _SLICE - 1:
                self.breathe()

    def _target(self, unit: int, number: int, argument: int) -> int:
        """The unit to which a jump leads."""
        if not _SINCE_3_10:         # its bytes are counted
            argument //= 2
        if number in _ABSOLUTE:
            return argument
        after = unit + 1
        while after < _len(self.numbers) and self.numbers[after] == _CACHE:
            after += 1
        return after - argument if number in _BACKWARD else after + argument

    def _add_handlers(self, table: bytes) -> None:
        """3.11: handlers are in a table (Objects/exception_handling_notes.txt)."""
        numbers = _iter(table)

        def number(first: int) -> int:
            value = first & 63
            while first & 64:
                first = _next(numbers)
                value = value << 6 | first & 63
            return value
        for first in numbers:
            start = number(first)
            length, target, _depth = number(_next(numbers)), number(_next(numbers)), number(_next(numbers))
            self.handlers.add(target)
            for unit in _range(start, start + length):
                self._jumps[unit] = (*self._jumps.get(unit, ()), target)
                if unit % _SLICE == _SLICE - 1:
                    self.breathe()

    def _follow_blocks(self) -> None:
        """Up to 3.10: which handler a unit has depends on the way on which it was reached. Each way is followed."""
        todo: list[tuple[int, tuple[int, ...]]] = [(0, ())]
        done: set[tuple[int, tuple[int, ...]]] = _set()
        handlers: dict[int, tuple[int, ...]] = {}
        while todo:
            state = todo.pop()
            if state in done:
                continue
            done.add(state)
            if _len(done) > 20 * _len(self.numbers):
                raise NotUnderstood
            if _len(done) % _SLICE == 0:
                self.breathe()
            unit, blocks = state
            for depth in _reversed(_range(_len(blocks))):
                handler = blocks[depth]
                if handler != _IN_HANDLER:
                    if handler not in handlers.get(unit, ()):
                        handlers[unit] = (*handlers.get(unit, ()), handler)
                    todo.append((handler, (*blocks[:depth], _IN_HANDLER)))
                    break
            number, jumps = self.numbers[unit], self._jumps.get(unit, ())
            if number in _SETUPS:
                blocks, jumps = (*blocks, jumps[0]), ()         # there by an exception, as all in the block
            elif number == _POP_BLOCK or number in _POP_HANDLER:
                if not blocks or (blocks[-1] == _IN_HANDLER) is (number == _POP_BLOCK):
                    raise NotUnderstood
                blocks = blocks[:-1]
            todo += [(target, blocks) for target in jumps]
            if self._falls[unit]:
                todo.append((unit + 1, blocks))
        for unit, found in handlers.items():
            self.handlers.update(found)
            self._jumps[unit] = (*self._jumps.get(unit, ()), *found)
        self._known = {unit for unit, _ in done}

    # ---------------------------------------------------------------------------------------------------- what is asked

    def makings(self, code: CodeType) -> list[tuple[CodeType, set[int], set[int]]]:
        """[(code object, units, units)] for each code object of which `code`, whose flow this is, makes a function, in
        the order of the bytecode: the units at which the function is made, and those at which it waits for its call.
        Raises NotUnderstood.

        The latter are of a class's body, and of what else is called at once, as a comprehension: a class's bases are
        evaluated after the function was made. The call itself is the last of them, whether or not it has begun.
        """
        found = []
        constants: tuple[Any, ...] = code.co_consts
        if not self.understood:
            raise NotUnderstood
        for unit, number in _enumerate(self.numbers):
            if number in _CONSTANTS and _type(constants[self.arguments[unit]]) is CodeType:
                made = constants[self.arguments[unit]]
                if number != _LOAD_CONST:
                    raise NotUnderstood
                units = {unit}
                at = unit + 1
                while self.numbers[at] != _MAKE_FUNCTION:
                    if self.numbers[at] not in (_EXTENDED_ARG, _LOAD_CONST, _CACHE) or at > unit + 8:
                        raise NotUnderstood
                    units.add(at)
                    at += 1
                units.add(at)
                found.append((made, units, _set() if is_definition(made) else self._until_called(at)))
        return found

    def _until_called(self, made: int) -> set[int]:
        """The units at which the function that unit `made` makes is on the stack of values, as far as its depth
        tells."""
        depths: dict[int, int] = {}
        todo = [(made + 1, 1)]
        while todo:
            unit, depth = todo.pop()
            if depth <= depths.get(unit, 0):
                continue
            if depth > 10 + _len(self.numbers):
                raise NotUnderstood
            depths[unit] = depth
            number = self.numbers[unit]
            if self._falls[unit]:
                todo.append((unit + 1, depth + self._effect(unit, False)))
            if number in _ABSOLUTE or number in _RELATIVE:
                todo.append((self._jumps[unit][0], depth + self._effect(unit, True)))
        return _set(depths)

    def _effect(self, unit: int, jumps: bool) -> int:
        """How many values more are on the stack after an instruction."""
        number = self.numbers[unit]
        if number in _STILL:
            return 0
        argument = self.arguments[unit] if number in _TAKES_ARGUMENT else None
        if _PRECALL >= 0 and number == _CALL:       # 3.11: the table has PRECALL take the arguments
            return -1 - self.arguments[unit]
        return _stack_effect(number, argument, jump=jumps)

    def reaching(self, wanted: Iterable[int]) -> set[int] | None:
        """The units from which one of these units can be reached, themselves included; None: all."""
        if not self.understood:
            return None
        before: dict[int, list[int]] = {}
        for unit, targets in self._jumps.items():
            for target in targets:
                before.setdefault(target, []).append(unit)
        todo, found = _list(wanted), _set()     # type: list[int], set[int]
        while todo:
            unit = todo.pop()
            if unit in found:
                continue
            found.add(unit)
            if unit and self._falls[unit - 1]:
                todo.append(unit - 1)
            todo += before.get(unit, ())
            if _len(found) % _SLICE == 0:
                self.breathe()
        if self._known is not None:     # where it can't get to by what was understood, nothing is known
            found.update(unit for unit in _range(_len(self.numbers)) if unit not in self._known)
        return found

    def reached_from(self, units: Iterable[int], ends: int = -1, raises: int = -1) -> set[int]:
        """The units that can be reached from some units, themselves included. ends: the number of an instruction at
        which that ends; raises: of one that raises each time. Only where understood."""
        todo, found = _list(units), _set()  # type: list[int], set[int]
        while todo:
            unit = todo.pop()
            if unit in found:
                continue
            found.add(unit)
            if self.numbers[unit] == ends:
                continue
            todo += self._jumps.get(unit, ())
            if self._falls[unit] and self.numbers[unit] != raises:
                todo.append(unit + 1)
            if _len(found) % _SLICE == 0:
                self.breathe()
        return found


def stands_waiting(code: CodeType, lasti: int) -> bool:
    """Whether a suspended frame of a generator-like code, with that f_lasti, may wait for something, rather than have
    yielded."""
    raw = code.co_code
    if not _SINCE_3_11:
        return raw[lasti + 2:lasti + 3] == _YIELD_FROM
    return raw[lasti] in _SUSPENDED


def after_throw(code: CodeType, breathe: Callable[[], None] = _no_breath) -> tuple[set[int] | None, set[int] | None]:
    """Two sets of units of a generator-like code: where its frame may stand if a throw() or close() has entered it and
    it has not yielded since. None in the place of a set: anywhere.

    The first set: the units that are reached from a handler of an exception, and those at which the code yields. At the
    latter stands a frame that a throw() has put on the stack on its way to what the frame waits for.
    The second set: the units behind a wait. There stands a frame that waited for something which has swallowed the
    thrown exception. A close() enters by handlers alone: it closes what is waited for, and raises GeneratorExit in any
    case; CLEANUP_THROW, the handler of a wait, raises that again.
    """
    flow = Flow(code, breathe)
    if not flow.understood:
        return None, None
    waits = [unit for unit, number in _enumerate(flow.numbers) if number in WAITS]
    handled = flow.reached_from(flow.handlers, _YIELD_VALUE, _CLEANUP_THROW)
    handled.update([unit for unit, number in _enumerate(flow.numbers) if number == _YIELD_VALUE or number == _RESUME]
                   if _SINCE_3_11 else [unit - 1 for unit in waits])
    return handled, flow.reached_from(waits, _YIELD_VALUE)
