"""The greeting again, and the farewell."""
from klpfs import Func, Object, Patch


def greeting():
    return "hello by lp_two"


def farewell():
    return "good bye by lp_two"


patch = Patch(objects=[Object(None, funcs=[Func("greeting", greeting), Func("farewell", farewell)])])
