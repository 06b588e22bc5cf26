"""The klpfs command: nothing that the files of a mounted tree can't do as well."""
import sys

if getattr(sys, "get_lazy_imports", str)() == "all":    # 3.15: commands and daemons import nothing late
    sys.set_lazy_imports("normal")      # type: ignore[attr-defined, unused-ignore]
    from klpfs.cpython.lazy_imports import import_own
    import_own()
