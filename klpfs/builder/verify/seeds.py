"""Seeds: objects of a program's kind, which a proof makes in OLD before the livepatch goes in, and in NEW. What the
modules of a release lead to is compared anyway; what a program makes of its classes is seen by a seed alone.
"""
from __future__ import annotations

import ast
import os
import re
from collections.abc import Sequence

from klpfs.builder.error import BuildError


def seeds_of(words: Sequence[str]) -> list[tuple[str, str]]:
    """[(name of a module, its text)] of the words of the command line, each a Python file or an expression. BuildError:
    it is neither.

    >>> seeds_of(["urllib3.Retry(3)"])
    [('seed_1', 'value = urllib3.Retry(3)')]
    """
    found: list[tuple[str, str]] = []
    for number, word in enumerate(words, 1):
        is_file = os.path.isfile(word) or word.endswith(".py")
        try:
            if is_file:
                with open(word, encoding="utf-8") as file:
                    text = file.read()
                ast.parse(text, word)
                name = re.sub(r"\W", "_", os.path.basename(word)[:-len(".py")])
            else:
                text, name = f"value = {word.strip()}", str(number)
                ast.parse(word.strip(), mode="eval")
        except OSError as error:
            raise BuildError(f"--seed {word}: {error.strerror}") from None
        except (SyntaxError, ValueError) as error:
            place = f"{word}:{getattr(error, 'lineno', None) or 1}" if is_file else word
            raise BuildError(f"--seed {place}: {'' if is_file else 'no such file, and no expression: '}"
                             f"{getattr(error, 'msg', None) or error}") from None
        found.append((_free(f"seed_{name}", [each for each, _ in found]), text))
    return found


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
