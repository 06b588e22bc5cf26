"""The second of two functions of one name; position=0 asks for the only one."""
from klpfs import Func, Object, Patch, enable_patch, module_param

position = module_param("position", int, 2)


def name_show():
    return "second by lp_position"


func = Func("name_show", name_show)
patch = Patch(objects=[Object(None, funcs=[func])])


def init():
    func.old_sympos = position
    return enable_patch(patch)
