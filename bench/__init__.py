"""The figures that klpfs promises, each measured beside its goal (`make bench`)."""


class NotMeasured(Exception):
    """A part can't be measured on this machine; the text says what is missing."""


def row(name, value, unit, goal=None):
    """A figure. goal: at most that much; None: only told."""
    return {"name": name, "value": value, "unit": unit, "goal": goal}
