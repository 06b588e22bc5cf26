"""The program that the integration tests patch: runs each line of its standard input in the main thread, prints the
value.

'\\x01' stands for a newline. Answers '= repr', or '! traceback'. Between lines none of its functions is on any stack.
`program.py FD ...`: it forks once for each FD, a socket on which that child is asked and answers; before, it says who
it is. `number` is 0 in the first process, 1, 2, ... in its children.
"""
import os
import signal
import sys
import threading
import time
import traceback
import warnings


def one():
    return "one original"


def two():
    return "two original"


def pair():
    return one(), two()


def name_show():
    return "first"


first_name_show = name_show


def name_show():  # noqa: F811  two functions of one name, both alive
    return "second"


class Held:
    """A thread that sits in hold() until it is let go."""

    def __init__(self, name="holder"):
        self.inside, self.go, self.value = threading.Event(), threading.Event(), None
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)
        self.thread.start()
        self.inside.wait()

    def run(self):
        self.value = hold(self)

    def let_go(self):
        self.go.set()
        self.thread.join()
        return self.value


def hold(held):
    held.inside.set()
    while not held.go.wait(0.01):
        pass
    return pair()


def serve(lines, out, namespace):
    for line in lines:
        code = line.rstrip("\n").replace("\x01", "\n")
        try:
            try:
                value = eval(compile(code, "<line>", "eval"), namespace)
            except SyntaxError:
                value = exec(compile(code, "<line>", "exec"), namespace)
            answer = "= " + repr(value)
        except BaseException:
            answer = "! " + traceback.format_exc()
        out.write(answer.replace("\n", "\x01") + "\n")
        out.flush()


def main(namespace):
    if sys.argv[1:]:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)       # nobody waits for children: they leave no zombies
    # from 3.12 on Python says so of every program that forks beside a thread, the agent's too
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    namespace["number"] = 0
    for number, fd in enumerate(map(int, sys.argv[1:]), 1):
        if not os.fork():
            namespace["number"] = number
            nothing = os.open(os.devnull, os.O_RDWR)        # its parent's standard input and output are its parent's
            os.dup2(nothing, 0)
            os.dup2(nothing, 1)
            with open(fd, "w", encoding="utf-8", closefd=False) as out, open(fd, encoding="utf-8") as lines:
                print("process", os.getpid(), file=out, flush=True)
                serve(lines, out, namespace)
            sys.exit()
    print("ready", flush=True)
    serve(sys.stdin, sys.stdout, namespace)


if __name__ == "__main__":
    main(globals())
