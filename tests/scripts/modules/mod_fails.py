"""Its init fails with the errno that ret names."""
from klpfs import module_param

ret = module_param("ret", int, -19)


def init():
    return ret
