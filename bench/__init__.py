"""The figures that klpfs promises, each measured beside its goal (`make bench`)."""


class NotMeasured(Exception):
    """A part can't be measured on this machine; the text says what is missing."""
