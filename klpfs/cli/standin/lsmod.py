"""lsmod(8): the service's modules."""
from klpfs.cli.standin import module, say


def run(words: "list[str]", folders: "list[str]") -> int:
    if words:
        say("Usage: lsmod")
        return 1
    try:
        found = module.loaded()
    except OSError as e:
        say(f"Error: could not get list of modules: {e.strerror}")
        return 1
    print("Module                  Size  Used by")
    for m in found.values():
        print(f"{m.name:<19} {m.size:>8}  {m.refcnt}" + (f" {','.join(m.holders)}" if m.holders else ""))
    return 0
