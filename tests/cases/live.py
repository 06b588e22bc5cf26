"""A live program for pairs of releases: it has imported OLD and made objects of it, takes the livepatch by klpfs's own
loader, lets it go, and answers its questions before, meanwhile and after.

    python live.py    (the job is JSON on standard input, what is found is marshalled on standard output)

Runs in the interpreter that the livepatch is for, on the standard library and klpfs alone. Job: {"klpfs": the folder
that klpfs lies in, "tree": the release's, "fix": a livepatch's path or null, "parts": [{"live": the name of a module of
the program's own, "modules": [names], "names": {what the part calls a module: its name}, "makes": statements that make
objects, "asks": [expressions]}]}. Found: {"answers": [[[words] of each part] of each time], "graphs": {"before",
"back"}, "refused": words}. What a part makes is in its own module, so that it is described with the rest.
"""
import gc
import importlib
import json
import marshal
import os
import sys
import time
import types
import warnings

SECONDS = 60                # that a transition may be pending


def answer(space, ask):
    """What an expression gives, in words."""
    try:
        return repr(eval(ask, dict(space)))
    except Exception as error:
        return f"raises {type(error).__name__}"


class Part:
    """One pair's part of the program."""

    def __init__(self, job):
        self.asks = job["asks"]
        live = sys.modules[job["live"]] = types.ModuleType(job["live"])
        self.space = vars(live)
        for name in job["modules"]:
            importlib.import_module(name)
        self.space.update((short, sys.modules[name]) for short, name in job["names"].items())
        exec(job["makes"], self.space)

    def answers(self):
        return [answer(self.space, each) for each in self.asks]


def settle(engine):
    """Waits until the transition is complete. AssertionError: nothing on a stack is to keep it pending here."""
    end = time.monotonic() + SECONDS
    while engine.look():
        assert time.monotonic() < end, "pending"
        time.sleep(0.01)
    engine.finish()


def patched(job):
    """All that is found of a livepatch."""
    sys.path.insert(0, job["klpfs"])
    from klpfs.builder.verify.describe import Description
    from klpfs.cpython.load import loader
    from klpfs.cpython.target import PythonTarget
    from klpfs.engine.core import Engine
    from klpfs.engine.log import Log
    loader.prepare()
    log = Log(lambda: 0)
    target = PythonTarget(log)
    engine = Engine(target, log)
    sys.path.insert(0, job["tree"])
    parts = [Part(each) for each in job["parts"]]
    kept, graphs, answers = [], {}, []
    found = {"answers": answers, "graphs": graphs, "refused": ""}
    ours = [job, found, kept, graphs, answers, log, target, engine, sys.modules[__name__]]
    roots = sorted({name.partition(".")[0] for each in job["parts"] for name in [each["live"], *each["modules"]]})

    def ask():
        answers.append([part.answers() for part in parts])

    def describe(what):
        gc.collect()
        graphs[what] = Description(roots, job["tree"], ours, kept, True).take()

    ask()
    ask()                                   # what is made at the first asking is there now
    describe("before")
    with open(job["fix"], "rb") as file:
        source = file.read()
    name = os.path.basename(job["fix"])[:-len(".py")]
    try:
        patch = loader.load(name, source, job["fix"], {}, log=log, enable_patch=lambda each: engine.enable(each, name))
        try:
            engine.enable(patch.patch, name)
        except BaseException:
            loader.unload(patch)
            raise
    except Exception as error:
        lines = [record.text for record in log.records if record.priority <= 4]
        found["refused"] = lines[0] if lines else f"{type(error).__name__}: {error}"
        return found
    engine.start()
    settle(engine)
    ask()
    engine.disable(patch.patch)
    settle(engine)
    loader.unload(patch)
    gc.collect()                            # a class that nobody holds is in its base's list up to a collection
    ask()                                   # what a cache was emptied of is there again
    describe("back")
    return found


def main():
    out = os.dup(1)
    os.dup2(2, 1)                           # what a release prints is no answer
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    if job["fix"]:
        found = patched(job)
    else:
        sys.path.insert(0, job["tree"])
        found = {"answers": [[Part(each).answers() for each in job["parts"]]]}
    with os.fdopen(out, "wb") as file:
        marshal.dump(found, file)
    os._exit(0)


if __name__ == "__main__":
    main()
