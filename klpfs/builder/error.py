"""The errors of a build. A change that is not carried is no error but a plan.plans.Refusal."""


class BuildError(Exception):
    """A source, a file or an interpreter that can't be used. The text says what and where, and what to do next."""


class NothingToDo(BuildError):
    """Two versions that differ in nothing that a livepatch could carry."""
