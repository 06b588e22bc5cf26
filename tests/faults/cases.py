"""The cases: what is done, at which step of it something happens, what happens to whom; and how one is run."""
import random
import time

from tests.faults.world import OLD, PROCESSES, SILENT, Descriptors, FullDisk, Kill, Stop, Writer, until

NEW = {name: (f"one by {name}", f"two by {name}") for name in ("lp0", "lp1", "lp2")}
WRITES = {  # what is written to the journal, in order
    "insmod": ("change", "start", "finish", "idle"),
    "replace": ("change", "start", "finish", "idle"),
    "module": ("change", "idle"),
    "disable": ("start", "finish", "idle"),
    "reverse": ("start", "finish", "idle"),
    "force": ("finish", "idle"),
    "rmmod": ("idle",),
}
FOREIGN = {  # where code of the livepatch or the program runs
    "insmod": ("load", "init", "pre_patch", "held", "post_patch"),
    "replace": ("load", "init", "pre_patch", "held", "post_patch"),
    "module": ("load", "init"),
    "disable": ("pre_unpatch", "held", "post_unpatch"),
    "reverse": ("post_unpatch",),
    "force": ("post_patch",),
    "rmmod": ("exit",),
}
BEFORE = {"insmod": OLD, "replace": NEW["lp0"], "module": OLD, "disable": NEW["lp1"], "reverse": NEW["lp1"],
          "force": NEW["lp1"], "rmmod": OLD}
AFTER = {"insmod": NEW["lp1"], "replace": NEW["lp2"], "module": OLD, "disable": OLD, "reverse": OLD,
         "force": NEW["lp1"], "rmmod": OLD}
FAULTS = {"killed": Kill, "stopped": Stop, "without descriptors": Descriptors}
VICTIMS = ["first", "some", "last"]
FORCED = (r"livepatch: forcing remaining tasks",)
SLOW = "waiting for process"  # a load that takes longer than SILENT
# what the log says of a load that was taken back
UNDONE = r"livepatch: failed to enable patch '", r"(load|init|pre_patch)\S* (of )?'.*' was stopped"
OF_DAEMON = r"coordinator lost: the load is undone", *UNDONE
OF_DISK = r"No space left on device", *UNDONE
OF_NOFILE = r"Too many open files", *UNDONE


def steps(operation):
    """All steps of an operation: of the daemon, and of one process."""
    return [f"{when} {what}" for what in WRITES[operation]
            for when in ("before", "written", "told one")] + list(FOREIGN[operation]) + ["done"]


def all_cases():
    """[(operation, step, victim, fault)]; victim: a process, 'daemon', 'daemon of two' (another mount is there),
    'disk'."""
    found = []
    for operation in WRITES:
        for step in steps(operation):
            found += [(operation, step, victim, fault) for victim in VICTIMS + ["daemon"] for fault in FAULTS]
            found += [(operation, step, "daemon of two", fault) for fault in ("killed", "stopped")]
            found.append((operation, step, "disk", "full"))
    return found


def a_few(count, seed=1):
    """So many of them, each operation, victim and fault among them as evenly as can be."""
    chance, seen, found = random.Random(seed), {}, []
    rest = all_cases()
    chance.shuffle(rest)
    while len(found) < count and rest:
        case = min(rest, key=lambda each: sum(seen.get(key, 0) for key in keys(each)))
        rest.remove(case)
        found.append(case)
        for key in keys(case):
            seen[key] = seen.get(key, 0) + 1
    return found


def keys(case):
    operation, step, victim, fault = case
    return operation, step, (victim, fault)


def prepared(world, operation):
    """Bring the service to where the operation begins: a function that does it."""
    if operation == "replace":
        world.insmod("lp0")
        until(world.settled, "lp0")
    elif operation in ("disable", "rmmod"):
        world.insmod("lp1")
        until(world.settled, "lp1")
    if operation == "rmmod":
        world.tree.set("lp1/enabled", "0")
        until(world.settled, "the way back")
    if operation in ("reverse", "force"):
        world.program.each[1].do("sit()")
        world.insmod("lp1")
        assert world.tree.get("lp1/transition") == "1"
    tree = world.tree
    return {"insmod": lambda: world.insmod("lp1"), "replace": lambda: world.insmod("lp2"),
            "module": lambda: world.insmod("mod1"), "disable": lambda: tree.set("lp1/enabled", "0"),
            "reverse": lambda: tree.set("lp1/enabled", "0"), "force": lambda: tree.set("lp1/force", "1"),
            "rmmod": lambda: tree.rmmod("lp1")}[operation]


def run(world, operation, step, victim, fault):
    """Run one case; AssertionError when something does not hold. The service is as new afterwards, or gone."""
    world.fresh()
    do = prepared(world, operation)
    number = VICTIMS.index(victim) if victim in VICTIMS else 1
    daemon = victim.startswith("daemon")
    gate = f"{number} {step}" if step in FOREIGN[operation] else f"daemon {step}"
    gated = step not in ("held", "done")
    if gated:
        world.hold(gate)
    if step == "held":
        world.program.each[number].do("sit()")
    writer, holder = Writer(do), None
    if gated:
        holder = world.at(gate)
    else:
        writer.join(10)
        if step == "done":
            until(world.settled, "the end")
    at = world.record()
    pid = (
        (holder if gated and gate.startswith("daemon") else world.mounts[0].process.pid)
        if daemon
        else world.program.each[number].pid
    )
    happens = FullDisk() if victim == "disk" else FAULTS[fault]()
    happens.begin(world, pid)
    if gated and not (fault == "killed" and holder == pid):
        world.let_go(gate)
    if fault != "killed":
        writer.join(3 * SILENT if fault == "stopped" else SILENT)
        if fault == "stopped" and not daemon:
            readable(world)
        happens.end()
    world.open_gates()
    for mount in world.mounts:
        if mount.process.pid == pid and fault == "killed":
            mount.process.wait()
            time.sleep(0.02)  # long enough for agents that would decide by themselves
            mount.start()
    error = writer.end()
    world.look_again()
    for process in world.alive:
        process.do("let_go()")
    code = world.check()
    assert code in (BEFORE[operation], AFTER[operation]), f"{code} is neither the code before nor after"
    if not (daemon and fault == "killed"):
        wanted = BEFORE[operation] if error else AFTER[operation]
        assert code == wanted, f"the writer got {error!r}, the processes run {code}"
        assert error is None or step != "done"
    elif at["transition"] and operation in ("insmod", "replace", "disable"):
        assert code == AFTER[operation], f"it was started, and {code} runs"
    world.check_log((OF_DAEMON if daemon and fault == "killed" else ()) + (OF_DISK if victim == "disk" else ())
                    + (OF_NOFILE if fault == "without descriptors" else ()) + (SLOW,)
                    + (FORCED if operation == "force" else ()))
    world.next_operation()
    world.check_log((SLOW,))
    world.watchdog.check()
    if len(world.alive) < PROCESSES or operation == "force":
        world.drop()


def readable(world):
    """While a process is stopped everything is read as ever."""
    begun = time.monotonic()
    world.tree.patches(), world.tree.modules(), world.tree.records()
    with open(world.tree.path / "blockers") as file:
        file.read()
    assert time.monotonic() - begun < 5, "a stopped process holds up readers"


def line(case):
    """A case as text."""
    return "%s; %s; %s; %s" % case
