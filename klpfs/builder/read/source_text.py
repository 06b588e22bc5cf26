"""Upstream's source text, moved but not rewritten: a reviewer who knows the diff shall recognise it."""
from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from collections.abc import Sequence

from klpfs.builder.syntax import end_column, end_line

Position = tuple[int, int]      # line from 1, column in bytes: as syntax nodes have them

# of the strings that are several tokens: f-strings (from 3.12 on), t-strings (3.14)
_STARTS, _ENDS = ([getattr(tokenize, f"{kind}STRING_{end}", -1) for kind in "FT"] for end in ("START", "END"))


class Source:
    """A file's text. lines: as in the file, with their ends."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = io.StringIO(text).readlines()
        if self.lines and not self.lines[-1].endswith("\n"):
            self.lines[-1] += "\n"
        self._inside: set[int] | None = None

    @property
    def inside_strings(self) -> set[int]:
        """Numbers of lines that begin inside of a string: another indentation would change the string."""
        if self._inside is None:
            self._inside = set()
            begun: list[int] = []
            for token in tokenize.generate_tokens(io.StringIO("".join(self.lines)).readline):
                if token.type == tokenize.STRING:
                    self._inside.update(range(token.start[0] + 1, token.end[0] + 1))
                elif token.type in _STARTS:
                    begun.append(token.start[0])
                elif token.type in _ENDS:
                    self._inside.update(range(begun.pop() + 1, token.end[0] + 1))
        return self._inside

    def has_own_lines(self, node: ast.stmt) -> bool:
        """No other statement shares the lines of this one."""
        before = self.lines[node.lineno - 1].encode()[:node.col_offset].strip()
        after = self.lines[end_line(node) - 1].encode()[end_column(node):].strip()
        return not before and (not after or after.startswith(b"#"))

    def block(self, first: int, last: int, indent: int, edits: Sequence[Edit] = ()) -> str:
        """Lines first to last, numbered from 1, edited; the first goes to column `indent`, the rest move as far as it
        does. What begins with `elif` begins with `if` there, where it stands alone."""
        lines: list[str | None] = list(self.lines[first - 1:last])
        for edit in sorted(edits, key=lambda each: each.start, reverse=True):
            edit.apply(lines, first)
        old_indent = len(self.lines[first - 1]) - len(self.lines[first - 1].lstrip())
        found = []
        for number, line in enumerate(lines, first):
            if line is None:
                continue
            if number not in self.inside_strings or number == first:
                line = _moved(line, indent - old_indent)
            found.append(line)
        text = "".join(found)
        alone = text.lstrip()
        return text[:-len(alone)] + alone[2:] if alone[:4] == "elif" and not alone[4:5].isidentifier() else text

    def statement(self, node: ast.stmt, indent: int) -> str:
        """The lines of a statement, without its decorators, moved to a column."""
        return self.block(node.lineno, end_line(node), indent)


def unparsed(node: ast.AST, indent: int) -> str:
    """The text of a statement that has no lines of its own."""
    return textwrap.indent(ast.unparse(node), " " * indent) + "\n"


class Edit:
    """A text that takes the place of a part of the file, from start to end."""

    def __init__(self, start: Position, end: Position, text: str) -> None:
        self.start, self.end, self.text = start, end, text

    def apply(self, lines: list[str | None], first: int) -> None:
        """Changes lines, the first of which is number `first` of the file. Lines that have become part of another are
        None."""
        top, bottom = self.start[0] - first, self.end[0] - first
        before, after = lines[top], lines[bottom]
        assert before is not None and after is not None
        lines[top] = before.encode()[:self.start[1]].decode() + self.text + after.encode()[self.end[1]:].decode()
        for at in range(top + 1, bottom + 1):
            lines[at] = None


def replace(node: ast.expr | ast.stmt, text: str) -> Edit:
    """The edit that puts a text in the place of an expression or a simple statement."""
    return Edit((node.lineno, node.col_offset), (end_line(node), end_column(node)), text)


def _moved(line: str, by: int) -> str:
    if not line.strip():
        return "\n"
    if by >= 0:
        return " " * by + line
    return line[min(-by, len(line) - len(line.lstrip())):]
