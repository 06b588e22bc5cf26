"""A patch target, loaded by insmod; busy=1 starts a task that sits in tgt_busy() until release is 1."""
import threading
import time

from klpfs import module_param, pr_info

busy = module_param("busy", bool, False)
release = module_param("release", bool, False)
stopping = threading.Event()
task = None


def should_stop():
    return stopping.is_set()


def tgt_a():
    return "a original"


def tgt_b():
    return "b original"


def tgt_busy():
    while not release and not should_stop():
        time.sleep(0.05)


def run():
    tgt_busy()
    while not should_stop():
        time.sleep(0.05)


def init():
    global task
    pr_info("klp_tgt: init")
    if busy:
        task = threading.Thread(target=run, name="klp_tgt_busy", daemon=True)
        task.start()


def exit():
    stopping.set()
    if task:
        task.join()
    pr_info("klp_tgt: exit")
