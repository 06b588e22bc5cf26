"""A command line as glibc's getopt_long() takes it, with its words."""
from __future__ import annotations

import os
from typing import Optional

Found = list[tuple[str, Optional[str]]]          # (long name, argument)
NONE, ONE, MAYBE = 0, 1, 2                     # how many arguments an option takes


class Wrong(Exception):
    """The command line is wrong; the text is getopt's, without the program's name."""


def parse(words: list[str], options: dict[str, int], short: dict[str, str],
          in_order: bool = False) -> tuple[Found, list[str]]:
    """([(long name, argument or None)], other words). options: how many arguments each long name takes; short: a
    letter's long name.

    in_order (or POSIXLY_CORRECT set): the first word that is no option ends them. Wrong: an unknown one and the like.
    """
    found: Found = []
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            return found, rest + queue
        if not word.startswith("-") or word == "-":
            if in_order or "POSIXLY_CORRECT" in os.environ:
                return found, rest + [word] + queue
            rest.append(word)
        elif word.startswith("--"):
            found.append(_long(word, options, queue))
        else:
            _short(word[1:], options, short, queue, found)
    return found, rest


def _long(word: str, options: dict[str, int], queue: list[str]) -> tuple[str, str | None]:
    given, equals, value = word[2:].partition("=")
    fits = [given] if given in options else [name for name in options if name.startswith(given)]
    if not fits:
        raise Wrong(f"unrecognized option '--{given}'")
    if len(fits) > 1:
        raise Wrong(f"option '{word}' is ambiguous; possibilities: " + " ".join(f"'--{name}'" for name in fits))
    name = fits[0]
    if equals:
        if options[name] == NONE:
            raise Wrong(f"option '--{name}' doesn't allow an argument")
        return name, value
    if options[name] == ONE:
        if not queue:
            raise Wrong(f"option '--{name}' requires an argument")
        return name, queue.pop(0)
    return name, None


def _short(letters: str, options: dict[str, int], short: dict[str, str], queue: list[str], found: Found) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        name = short.get(letter)
        if name is None:
            raise Wrong(f"invalid option -- '{letter}'")
        if options[name] == NONE:
            found.append((name, None))
            continue
        if not letters and options[name] == ONE:
            if not queue:
                raise Wrong(f"option requires an argument -- '{letter}'")
            letters = queue.pop(0)
        found.append((name, letters or None))
        return
