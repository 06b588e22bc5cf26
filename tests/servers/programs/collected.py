"""An ordinary module for insmod: writes how many blocks of memory are in use in each process, all garbage collected.

A livepatch that was unloaded is in cycles, as modules are, and so is garbage until the program's collector next runs in
full; what it leaves is no growth. Parameter: the folder to write to.
"""
import gc
import os
import sys

from klpfs import module_param

folder = module_param("folder", str, "")


def init():
    gc.collect()
    with open(os.path.join(folder, f"blocks-{os.getpid()}"), "w") as file:
        file.write(str(sys.getallocatedblocks()))
