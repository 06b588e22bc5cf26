"""A module that patches are for. busy=1 starts a task that calls sit() again and again, and stays in it until release
is 1."""
import threading

from klpfs import module_param, pr_info

__license__ = "GPL"
__author__ = "A. Tester"
__version__ = "1.2"

busy = module_param("busy", bool, False)
release = module_param("release", bool, False)
stopping = threading.Event()
task = None


def answer():
    return "target"


def sit():
    while not release and not stopping.wait(0.02):
        pass


def run():
    while not stopping.wait(0.02):
        sit()


def init():
    global task
    pr_info("target_mod: init")
    if busy:
        task = threading.Thread(target=run, name="target_busy", daemon=True)
        task.start()


def exit():
    stopping.set()
    if task:
        task.join()
    pr_info("target_mod: exit")
