"""Depends on another module; its own name has a hyphen."""
import mod_base

from klpfs import module_param, pr_info

text = module_param("text", str, "nothing")
level = module_param("level", int, 3)


def init():
    pr_info("mod_user: %s, %s, %d" % (mod_base.base(), text, level))
