"""What building can fail with."""


class BuildError(Exception):
    """The text says what and where, and what to do next."""


class NothingToDo(BuildError):
    """The two versions differ in nothing that a livepatch could carry."""
