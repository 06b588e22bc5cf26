"""A function that there is not."""
from klpfs import Func, Object, Patch


def nobody():
    return "nobody"


patch = Patch(objects=[Object(None, funcs=[Func("nobody", nobody)])])
