"""The program that the integration tests patch: runs each line of its standard input in the main thread, prints the value.

'\\x01' stands for a newline. Answers '= repr', or '! traceback'. Between lines none of its functions is on any stack.
"""
import sys
import threading
import time
import traceback


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


if __name__ == "__main__":
    print("ready", flush=True)
    serve(sys.stdin, sys.stdout, globals())
