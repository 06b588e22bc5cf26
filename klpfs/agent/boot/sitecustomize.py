"""Starts klpfs's agent before the program's first line; then the program's own sitecustomize runs as without klpfs.

`klpfs run` puts this file's folder on PYTHONPATH. Nothing but klpfs becomes importable through it: the package is
loaded from its place here, and the folder leaves sys.path again. What goes wrong is one line on stderr; the program
runs. (This file must parse on any Python 3, to say that it is too old.)
"""
import sys


def _load(name: str, folder: str) -> None:
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import spec_from_file_location
    spec = spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _in_sub_interpreter() -> bool:
    """Whether this is a sub-interpreter: the site module is imported in those, too. Only the main interpreter may set a
    wakeup descriptor, in its main thread, where site is imported."""
    from _signal import set_wakeup_fd
    try:
        was = set_wakeup_fd(-1)
    except ValueError:
        return True
    if was != -1:
        set_wakeup_fd(was)
    return False


def _boot(here: str) -> None:
    if _in_sub_interpreter():
        return              # its functions are not patched; the main interpreter's agent says so
    try:
        if sys.version_info < (3, 9):
            raise OSError("klpfs needs CPython 3.9 or later, this is %d.%d" % sys.version_info[:2])
        if "klpfs" not in sys.modules:
            _load("klpfs", here.rpartition("/agent/")[0])
        from errno import ENOSYS

        from klpfs.agent.supported import unsupported
        why = unsupported()
        if why:                 # before all else is imported, which an unknown Python may have none of
            raise OSError(ENOSYS, why)
        from klpfs.agent.start_agent import start
        start()
    except Exception as e:
        text = getattr(e, "strerror", None) or "%s: %s" % (type(e).__name__, e)
        path = getattr(e, "filename", None)
        sys.stderr.write("klpfs: this process can't be patched: %s%s\n" % ("%s: " % path if path else "", text))


def _own(here: str) -> None:
    """Run the sitecustomize that this one hides; errors are the program's own."""
    sys.path[:] = [p for p in sys.path if p != here]
    sys.path_importer_cache.pop(here, None)
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as e:
        if e.name != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", ours)


_here = __file__.rpartition("/")[0]
_boot(_here)
_own(_here)
