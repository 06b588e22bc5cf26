"""Takes the place of all others; with replace=0 stands beside them."""
from klpfs import Func, Object, Patch, enable_patch, module_param

replace = module_param("replace", bool, True)


def greeting():
    return "hello by lp_replace"


patch = Patch(objects=[Object(None, funcs=[Func("greeting", greeting)])], replace=True)


def init():
    patch.replace = replace
    return enable_patch(patch)
