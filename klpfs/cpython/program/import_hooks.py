"""Notices modules that finish their body, before the code that imports them goes on (the kernel's MODULE_STATE_COMING).

What is hooked is not sys.meta_path, which is the program's to change, but functions of the import system itself
(importlib._bootstrap) that every import of a found module goes through, in the middle of it: the module still counts as
being initialised, so other threads that import it wait as well. Loaders called by hand and importlib.reload have hooks of
their own. The hooks' frames are named as the import system's, so that tracebacks of failing imports leave them out.

A module that a program puts into sys.modules by hand, after running its code by exec(), is not noticed here: the agent
looks for such with the next import or load.
"""
import sys
from _frozen_importlib import _load_unlocked
import _frozen_importlib as _bootstrap
import _frozen_importlib_external as _external

_IMPORTED = "import {!r} # {!r}"  # what _load_unlocked says at its end, while the module still is initialised
_installed = {}                   # (owner, name) -> what was there
_told = {}                        # 'callback' and 'target', when installed


def install(callback, target):
    """callback(name) is called in the importing thread when a module's body has ended; what it raises (Exceptions) is
    dropped. target: PythonTarget, which takes the module for loaded from then on. Once a process; again: replaces."""
    _told["callback"], _told["target"] = callback, target
    if _installed:
        return
    code = _load_unlocked.__code__
    if _IMPORTED in code.co_consts and "_verbose_message" in code.co_names:
        _hook(_bootstrap, "_verbose_message", _verbose_message)
    else:
        _hook(_bootstrap, "_load_unlocked", _after_spec)
    for name in ("_load_backward_compatible", "_exec"):
        if hasattr(_bootstrap, name):
            _hook(_bootstrap, name, _after_spec)
    _hook(_external._LoaderBasics, "exec_module", _exec_module)


def uninstall():
    """As before install(); for tests."""
    for (owner, name), was in list(_installed.items()):
        setattr(owner, name, was)
    _installed.clear()
    _told.clear()


def _hook(owner, name, make):
    was = getattr(owner, name)
    hook = make(was)
    hook.__name__, hook.__qualname__, hook.__module__ = was.__name__, was.__qualname__, was.__module__
    hook.__doc__ = was.__doc__
    hook.__code__ = hook.__code__.replace(co_filename=was.__code__.co_filename)
    _installed[owner, name] = was
    setattr(owner, name, hook)


def _verbose_message(was):
    def _verbose_message(message, *args, verbosity=1):
        was(message, *args, verbosity=verbosity)
        if message == _IMPORTED and args:
            finished(args[0])
    return _verbose_message


def _after_spec(was):
    def _after_spec(spec, *args):
        try:
            return was(spec, *args)
        finally:  # a reload that fails half way has made functions, too
            if spec.name in sys.modules:
                finished(spec.name)
    return _after_spec


def _exec_module(was):
    def exec_module(self, module):
        was(self, module)
        spec = getattr(module, "__spec__", None)
        if spec is not None and not getattr(spec, "_initializing", False) and sys.modules.get(spec.name) is module:
            finished(spec.name)
    return exec_module


def finished(name):
    """A module's body has ended; its importers are still held up."""
    target, callback = _told.get("target"), _told.get("callback")
    module = sys.modules.get(name)
    if callback is None or module is None:
        return
    target.ripe[name] = module
    try:
        callback(name)
    except Exception:
        pass  # the import is not to blame; whoever is called logs its own failures
    finally:
        if target.ripe.get(name) is module:
            target.ripe.pop(name, None)
