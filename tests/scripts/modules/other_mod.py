"""A second module that patches are for."""
from klpfs import pr_info


def other():
    return "other"


def init():
    pr_info("other_mod: init")


def exit():
    pr_info("other_mod: exit")
