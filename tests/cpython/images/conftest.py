"""Two functions that differ in all that an image holds."""
import types

import pytest


def f(a: int, b=2, *, c=3) -> str:
    "of f"
    return a, b, c


def g(a: str, b=4, *, c=5, d=6) -> int:
    "of g"
    return a, b, c, d, "new"


@pytest.fixture
def pair():
    """(a function, another one), fresh copies of f and g."""
    found = []
    for of in (f, g):
        made = types.FunctionType(of.__code__, globals(), of.__name__, of.__defaults__)
        made.__kwdefaults__, made.__annotations__, made.__doc__ = (
            dict(of.__kwdefaults__),
            dict(of.__annotations__),
            of.__doc__,
        )
        found.append(made)
    return found
