"""Puts the engine and its target into a process and serves them on a Unix socket (DESIGN section 7)."""


def start(service=None, keep=False):
    """Start the agent of this process: it joins `service` (default: $KLPFS_SERVICE, else the base name of the script).

    keep: the service's patches outlive it. Once a process: a second start for the same service does nothing, for
    another one raises OSError(EBUSY). OSError: EINVAL, not a name for a service; EACCES, the runtime folder is not
    private; ENOSYS, this Python can't be patched; or what making folder and socket says.
    Source: DESIGN section 7.
    """
    from klpfs.agent.launch import start as launch
    return launch(service, keep)
