"""Upstream's source text, moved but not rewritten: a reviewer who knows the diff shall recognise it."""
import ast
import io
import textwrap
import tokenize
import typing


class Source:
    """A file's text. lines: as in the file, with their ends."""

    def __init__(self, text: str):
        self.text = text
        self.lines = io.StringIO(text).readlines()
        if self.lines and not self.lines[-1].endswith("\n"):
            self.lines[-1] += "\n"
        self._inside: typing.Optional[set] = None

    @property
    def inside(self) -> set:
        """Numbers of lines that begin inside of a string: they must not be indented otherwise."""
        if self._inside is None:
            self._inside = set()
            start = None
            for token in tokenize.generate_tokens(io.StringIO("".join(self.lines)).readline):
                if token.type == tokenize.STRING:
                    self._inside.update(range(token.start[0] + 1, token.end[0] + 1))
                elif token.type == getattr(tokenize, "FSTRING_START", -1):
                    start = start or []
                    start.append(token.start[0])
                elif token.type == getattr(tokenize, "FSTRING_END", -1):
                    self._inside.update(range(start.pop() + 1, token.end[0] + 1))
        return self._inside

    def alone(self, node: ast.stmt) -> bool:
        """No other statement shares its lines."""
        before = self.lines[node.lineno - 1].encode()[:node.col_offset].strip()
        after = self.lines[node.end_lineno - 1].encode()[node.end_col_offset:].strip()
        return not before and (not after or after.startswith(b"#"))

    def block(self, first: int, last: int, indent: int, edits: "typing.Sequence[Edit]" = ()) -> str:
        """Lines first to last, numbered from 1, with the first at column `indent` and the others moved with it."""
        lines = list(self.lines[first - 1:last])
        for edit in sorted(edits, key=lambda each: each.start, reverse=True):
            edit.apply(lines, first)
        was = len(self.lines[first - 1]) - len(self.lines[first - 1].lstrip())
        found = []
        for number, line in enumerate(lines, first):
            if line is None:
                continue
            if number not in self.inside or number == first:
                line = _moved(line, indent - was)
            found.append(line)
        return "".join(found)


def unparsed(node: ast.stmt, indent: int) -> str:
    """A statement that has no lines of its own."""
    return textwrap.indent(ast.unparse(node), " " * indent) + "\n"


class Edit:
    """Text to be put in the place of a part of the file. start, end: (line, column in bytes), as nodes have them."""

    def __init__(self, start, end, text: str):
        self.start, self.end, self.text = start, end, text

    def apply(self, lines: list, first: int) -> None:
        top, bottom = self.start[0] - first, self.end[0] - first
        before = lines[top].encode()[:self.start[1]].decode()
        after = lines[bottom].encode()[self.end[1]:].decode()
        lines[top] = before + self.text + after
        for at in range(top + 1, bottom + 1):
            lines[at] = None


def replace(node: ast.AST, text: str) -> Edit:
    return Edit((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset), text)


def _moved(line: str, by: int) -> str:
    if not line.strip():
        return "\n"
    if by >= 0:
        return " " * by + line
    return line[min(-by, len(line) - len(line.lstrip())):]
