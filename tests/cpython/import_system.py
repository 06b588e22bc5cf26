"""The import system as it was when the tests were collected: klpfs hooks it once a process and for good."""
import _frozen_importlib as bootstrap
import _frozen_importlib_external as external

from klpfs.cpython.program import import_hooks

BEFORE = {owner: dict(vars(owner)) for owner in (bootstrap, external, external._LoaderBasics)}
assert not import_hooks._hooked


def changed():
    """Names of the functions that are others than before."""
    return [name for owner, values in BEFORE.items() for name, value in values.items()
            if callable(value) and vars(owner).get(name) is not value]


def restore():
    """Takes the hooks out."""
    for owner, values in BEFORE.items():
        for name, value in values.items():
            if callable(value) and vars(owner).get(name) is not value:
                setattr(owner, name, value)
    import_hooks._hooked, import_hooks._callback, import_hooks._target = False, None, None
