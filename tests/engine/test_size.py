"""A patch of very many functions takes time in proportion, not its square."""
import time

from tests.engine.kit import Kit


def test_ten_thousand_functions():
    """Enable, replace by as many nops, disable: some 0.3 s of processor time here; what is quadratic takes 20 times
    that."""
    names = ["f%d" % number for number in range(10_000)]
    kit = Kit(vmlinux=names)
    definitions = {(d[0], d[2]): d for d in kit.target.image}

    def resolve(obj, func):  # the puppet's own search is a linear one
        func.definition, func.new_code = definitions[obj.name, func.old_name], "code"
        kit.target.live.append(func)

    kit.target.resolve = resolve
    kit.target.release = lambda func: None
    began = time.process_time()
    kit.load("p", callbacks=False, vmlinux=names)
    patch = kit.load("r", replace=True, callbacks=False, m=[])
    assert time.process_time() - began < 6
    assert kit.tree() == {"r": {"m": []}} and not any(kit.target.image.values())
    kit.unload(patch)
    assert kit.engine.stacks.table == {}
