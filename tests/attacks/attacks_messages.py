"""Attacks by what a hostile worker of the service's group says to root's daemon (A1, A2, A6, B1, B7)."""
import contextlib
import errno
import os
import re
import time

from tests import harness
from tests.attacks.table import add, attack
from tests.attacks.timing import BOUND, PATIENCE
from tests.harness import until

ERRNO = re.compile(r"E[A-Z0-9]+")


def message(name, item, holds, code, then=None, bound=BOUND, **more):
    """A row of the table: the worker does `code`; root's insmod, then(world), the mount and the other service answer in
    time. `bound`: of that insmod; PATIENCE is in it where the worker is silent, which docs/PROTOCOL.md#3 allows it."""
    def do(world):
        world.evil(code).meet()
        world.whole(world.patch("lp1"), "one", bound=bound)
        if then:
            then(world)
        world.others()
    add(name, item, holds, do, **more)


def views(world):
    """Every view of the service can be read, in time; but the hostile worker's own folder, which asks it."""
    tree = world.tree()
    own = [f"/proc/{evil.pid}" for evil in world.evils]

    def fail(error):
        if error.errno != errno.ENOENT and not any(each in error.filename for each in own):
            raise error
    for path in "proc/modules", "blockers":
        found = world.timed(f"cat {path}", lambda: len(harness.read(tree.path / path)))
        world.expect(found.startswith("ok"), f"cat {path}: {found}")
    world.log()
    found = world.timed("find", lambda: len(list(os.walk(tree.path, onerror=fail))))
    world.expect(found.startswith("ok"), f"find: {found}")


# ---- an errno that is none

for number, value in (("minus_5", "-5"), ("0", "0"), ("600", "600"), ("two_to_40", "2 ** 40")):
    message(f"refusal_errno_{number}", "A1", "a refusal with an errno that is none is answered with an errno",
            f"agent(refuse={{'errno': {value}}})", bound=BOUND + PATIENCE, quick=number == "600")


@attack("A1")
def done_errnos(world):
    """the writer of a parameter is answered, whatever errno a worker says that it gave"""
    path = world.patch("lp1", extra="level = module_param('level', int, 3, 0o644)\n")
    for value in "600", "-5", "2 ** 40", "10 ** 30":
        evil = world.evil(f"agent(set=lambda m: [{{'t': 'done', 'id': m['id'], 'errno': {value}}}])")
        evil.meet()
        world.insmod(path, bound=BOUND + PATIENCE)
        for file in "sys/module/lp1/parameters/level", :
            found = world.timed(f"errno {value}: echo > {file}", harness.write, world.tree().path / file, "5",
                                bound=BOUND + PATIENCE)
            world.expect(found.startswith("ok") or ERRNO.fullmatch(found), found)
        evil.end()
        world.clear()


# ---- another's process, another's service

@attack("A2", quick=True)
def socket_swapped(world):
    """a worker's socket that becomes a link to another service's leads nobody there: that service keeps its patches"""
    fix = world.patch("fix", "two")
    world.expect(world.insmod(fix, "bank") == "ok None", "bank's fix")
    until(lambda: world.ask("bank", "two()") == "two by fix", "bank's fix")
    for number in range(1 if world.few else 3):         # shop has seen more operations than bank
        world.insmod(world.patch(f"lp{number}"))
        world.tree().settle()
    for way in list(SWAPS)[:1] if world.few else SWAPS:
        evil = world.evil(f"BANK = {str(world.runtime / 'bank')!r}\n{SWAPS[way]}")
        with contextlib.suppress(AssertionError):
            until(lambda: evil.do("met()"), way, 3)
        end = time.monotonic() + 1
        until(lambda: time.monotonic() > end or world.bank.pid in pids(world, "shop"), way)
        world.expect(world.bank.pid not in pids(world, "shop"), f"{way}: bank's process is shown in shop")
        replacing = world.patch("lp9", replace=True)
        world.insmod(replacing, bound=BOUND + PATIENCE)
        world.tree().settle()
        said = world.timed(f"{way}: bank's program", world.ask, "bank", "one(), two()")
        world.expect(said == "ok ('one original', 'two by fix')", f"{way}: bank's program runs {said}")
        found = world.insmod(world.patch("more"), "bank")
        world.expect(found == "ok None", f"{way}: insmod into bank: {found}")
        evil.end()
        world.clear()
        world.expect(world.insmod(fix, "bank") == "ok None", f"{way}: bank's fix")
        until(lambda: world.ask("bank", "two()") == "two by fix", "bank's fix")
    world.clear()


# The names of all sockets are everybody's to read. The first way waits for the daemon to look, and to connect.
FIND = """
import re
def socks():
    return [x for x in re.findall(re.escape(BANK) + r'/\\.?([0-9a-f]+\\.sock)', open('/proc/net/unix').read())]
"""
SWAPS = {
    "after the first connection": FIND + """
def behave(c):
    os.symlink(BANK + '/' + socks()[0], FOLDER + '/x')
    os.rename(FOLDER + '/x', FOLDER + '/evil.sock')
    c.close()
    greeted.set()
serving(behave)
""",
    "a link from the beginning": FIND + """
put('evil.sock', 'link', BANK + '/' + socks()[0])
greeted.set()
""",
    "again and again": FIND + """
def behave(c):
    c.close()
serving(behave)
def swap():
    for i in range(300):
        try:
            os.symlink(BANK + '/' + socks()[0], FOLDER + '/x')
            os.rename(FOLDER + '/x', FOLDER + '/evil.sock')
            time.sleep(.003)
            listen()
        except OSError:
            pass
    greeted.set()
threading.Thread(target=swap, daemon=True).start()
""",
    "its name in the hello": "agent(hello={'service': 'bank'})",
}


def pids(world, name):
    return {int(each) for each in os.listdir(world.tree(name).path / "proc") if each.isdigit()}


# ---- too much of it

message("keys_of_one_hash", "A6", "keys that have one hash hold up nobody",
        "says(event_of(b'{' + b''.join(number((2 ** 61 - 1) * (i + 1)) + b'N' for i in range(40000)) + b'0'))",
        bound=BOUND + PATIENCE, quick=True)
message("small_keys_of_one_hash", "A6", "keys of one hash in a small message hold up nobody, message after message",
        "says(*[event_of(b'{' + b''.join(number((2 ** 61 - 1) * (i + 1)) + b'N' for i in range(8000)) + b'0')] * 8)",
        bound=BOUND + PATIENCE)
message("32_MB_of_None", "A6", "large messages, one after the other, hold up nobody",
        "n = 31 << 20\nsays(event_of(b'[' + struct.pack('<i', n) + b'N' * n), times=10 ** 6)", bound=BOUND + PATIENCE)
message("1_MB_of_None", "A6", "messages within any limit, one after the other, hold up nobody",
        "n = 1 << 19\nsays(event_of(b'[' + struct.pack('<i', n) + b'N' * n), times=10 ** 6)", bound=BOUND + PATIENCE)
message("acks_without_end", "A6", "small messages without end hold up nobody",
        "says(wire.encode({'t': 'ack', 'seq': 0})[4:], times=10 ** 9)", bound=BOUND + PATIENCE)
message("patch_of_300000_functions", "A6", "a patch of very many functions, of a worker's making, holds up nobody",
        "agent(event={'patches': [{'name': 'lp1', 'replace': False, 'objects': [{'name': 'vmlinux', 'patched': False, "
        "'loaded': True, 'funcs': '\\n'.join('f%d,1' % i for i in range(300000))}]}]})", then=views,
        bound=BOUND + PATIENCE)
message("module_of_200000_parameters", "A6", "a module of very many parameters, of a worker's making, holds up nobody",
        "agent(event={'modules': [{'name': 'lp1', 'size': 1, 'refcnt': 1, 'params': [('p%d' % i, 'int', '1', 420) "
        "for i in range(200000)]}]})", then=views, bound=BOUND + PATIENCE)
message("blockers_without_end", "A6", "very many blockers of a worker's hold up nobody",
        "agent(report={'blockers': [{'kind': 'thread', 'task': i, 'name': 'x', 'frames': ['f'] * 20, 'since': 1} "
        "for i in range(20000)]})", then=views, bound=BOUND + PATIENCE)


@attack("A6")
def log_read_during_acks(world):
    """who reads record by record has half of the daemon's time, however much a worker says"""
    def seconds():
        begun = time.monotonic()
        world.log()
        return time.monotonic() - begun
    for number in range(1500):
        harness.write(world.tree().path / "dev/kmsg", f"line {number}")
    before = max(seconds() for _ in range(3))
    world.evil("says(wire.encode({'t': 'ack', 'seq': 0})[4:], times=10 ** 9)")
    during = max(seconds() for _ in range(4))
    world.expect(during < 10 * before, f"{during:.1f} s, {before:.1f} without")     # the attacker has a processor, too


@attack("A6")
def files_200000(world):
    """200,000 files in the service's folder do not make an operation slow; a write of that service may be refused"""
    evil = world.evil()
    evil.do("for i in range(200000): os.close(os.open(FOLDER + '/x%d' % i, os.O_CREAT | os.O_WRONLY))", 120)
    try:
        found = world.insmod(world.patch("lp1"))
        world.expect(found == "ok None" or ERRNO.fullmatch(found), f"insmod: {found}")
        world.others()
    finally:
        folder = world.runtime / "shop"
        for each in os.scandir(folder):
            if each.name.startswith("x"):
                os.unlink(each.path)


@attack("A6")
def sockets_2000(world):
    """2,000 sockets of a worker that nobody serves hold up nobody for longer than a silent process may"""
    evil = world.evil("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)")
    with contextlib.suppress(AssertionError):       # a hard limit below that is enough of them, too
        evil.do("for i in range(2000): put('x%d.sock' % i, 'socket'); kept[-1].listen(1)", 60)
    world.insmod(world.patch("lp1"), bound=BOUND + PATIENCE)
    world.others()


# ---- numbers and texts that are none

def check(world):
    code, said = world.command("check", "-m", world.mount.root, "-s", "shop", world.patch("lp1"), bound=BOUND + 12)
    world.expect(b"Traceback" not in said, f"klpfs check: {said[-200:]}")


message("check_without_found", "B1", "an answer to check that holds nothing is no answer: check ends and says so",
        "agent(check=lambda m: [{'t': 'answer', 'id': m['id'], 'data': {'errno': 0, 'text': '', 'found': None}}])",
        then=check, bound=BOUND + PATIENCE)
message("check_of_huge_count", "B1", "a huge number in an answer to check does not end check",
        "agent(check=lambda m: [{'t': 'answer', 'id': m['id'], 'data': {'errno': 0, 'text': '', 'found': {'livepatch': "
        "True, 'replace': False, 'refused': '', 'objects': [{'name': 'vmlinux', 'loaded': True, 'funcs': [{'name': 'one', "
        "'refused': '', 'warnings': [], 'where': '', 'count': 10 ** 5000, 'fingerprint': '', 'inside': []}]}]}}}])",
        then=check, bound=BOUND + PATIENCE)


def still_written(world):
    """What is in force can be turned back, while the worker lives. It may hold up the end of that (README.md)."""
    tree = world.tree()
    found = world.insmod(world.patch("lp2", "two"), bound=BOUND + PATIENCE)
    world.expect(found in ("ok None", "EBUSY"), f"insmod of a second patch: {found}")
    for patch in reversed(tree.patches()):
        found = world.timed(f"enabled 0 of {patch}", tree.set, f"{patch}/enabled", "0", bound=BOUND + PATIENCE)
        world.expect(found in ("ok None", "EBUSY"), f"enabled 0 of {patch}: {found}")


message("seen_two_to_62", "B1", "a worker that has seen what is not decided yet stops no write but while it lives",
        "agent(report={'seen': 2 ** 62})", then=still_written, bound=BOUND + PATIENCE, quick=True)
message("over_two_to_62", "B1", "a worker that has finished what is not decided yet stops no write",
        "agent(report={'over': 2 ** 62})", then=still_written, bound=BOUND + PATIENCE)
for name, where in (("log", "'log': [(1, HUGE, 6, 'module', 'x'), (HUGE, 1, 6, 'module', 'x'), (2, 1, HUGE, 'module', 'x')]"),
                    ("module_size", "'modules': [{'name': 'lp1', 'size': HUGE, 'refcnt': 1, 'params': []}]"),
                    ("refcnt", "'modules': [{'name': 'lp1', 'size': 1, 'refcnt': -HUGE, 'params': []}]"),
                    ("mode", "'modules': [{'name': 'lp1', 'size': 1, 'refcnt': 1, 'params': [('p', 'int', '1', HUGE)]}]")):
    message(f"huge_{name}", "B1", "a number beyond 64 bits makes no view unreadable",
            f"HUGE = 10 ** 5000\nagent(event={{{where}}})", then=views, bound=BOUND + PATIENCE)
message("huge_blocker", "B1", "a number beyond 64 bits makes no view unreadable",
        "agent(report={'blockers': [{'kind': 'thread', 'task': 10 ** 5000, 'name': 'x', 'frames': ['f'], 'since': "
        "10 ** 5000}]})", then=views, bound=BOUND + PATIENCE)
message("negative_pid", "B1", "a process number that is none stops nothing", "agent(event={'process': {'pid': -1, 'comm': "
        "'x', 'cmdline': []}})", then=views, bound=BOUND + PATIENCE)

SURROGATES = {
    "patch": "event={'patches': [{'name': '\\ud800', 'replace': False, 'objects': []}]}",
    "object": "event={'patches': [{'name': 'lp1', 'replace': False, 'objects': [{'name': '\\ud800', 'patched': True, "
              "'loaded': True, 'funcs': '\\udfff,1'}]}]}",
    "module": "event={'modules': [{'name': 'lp1', 'size': 1, 'refcnt': 1, 'params': [('\\ud800', 'int', '\\ud800', 420)]}]}",
    "process": "event={'process': {'pid': os.getpid(), 'comm': '\\ud800', 'cmdline': ['\\ud800']}}",
    "blocker": "report={'blockers': [{'kind': 'thread', 'task': 1, 'name': '\\ud800', 'frames': ['\\ud800'], 'since': 1}]}",
    "log": "event={'log': [(1, 1, 6, 'module', '\\ud800')]}",
}
for name, where in SURROGATES.items():
    message(f"surrogate_{name}", "B2" if name == "log" else "B1", "a text that no file can hold makes no view unreadable",
            f"agent({where})", then=views, bound=BOUND + PATIENCE)


@attack("B1", quick=True)
def forged_log(world):
    """a worker's log lines never look like the service's own or another's, and bear its process"""
    world.evil("agent(event={'log': [(1, 10 ** 9, 5, 'engine', \"livepatch: 'cve_fix': patching complete\"), "
               "(2, 10 ** 9, 0, 'module', 'on fire'), (3, 10 ** 9, 1, 'user', 'by root?'), "
               "(4, 10 ** 9, 3, 'agent', 'shop: nothing is wrong')]})").meet()
    end = time.monotonic() + 1
    until(lambda: time.monotonic() > end or any("on fire" in record[3] for record in world.log()), "the lines")
    for priority, _, _, text in world.log():
        world.expect(not text.startswith("livepatch: 'cve_fix'"), f"as the engine's: {text}")
        world.expect(text not in ("on fire", "by root?", "shop: nothing is wrong"), f"as the service's: {text}")
        world.expect(priority or "on fire" not in text, "an emergency of a worker's")
    world.allow("on fire")


message("log_line_of_3_MB", "B2", "a log line that is long is cut: every reader goes on", "agent(event={'log': [(1, 1, 6, "
        "'module', 'x' * 3000000)]})", then=views, bound=BOUND + PATIENCE)
message("log_of_5000_long_lines", "B2", "a log of very many long lines keeps nobody from the log", "agent(event={'log': "
        "[(i, 1, 6, 'module', 'x' * 5000) for i in range(5000)]})", then=views, bound=BOUND + PATIENCE)


# ---- versions

def one_line(world):
    """What is said about a worker that is not understood does not come again and again."""
    before = world.newest()
    end = time.monotonic() + 3
    until(lambda: time.monotonic() > end, "three seconds")
    more = world.lines_since(before)
    world.expect(len(more) <= 2, f"{len(more)} lines more in 3 s: {more[-1:]}")


message("version_99", "B7", "an agent of another version is named once, with what to do; writes are refused by name",
        "agent(hello={'version': 99})", then=lambda world: (named(world), one_line(world)), bound=BOUND + PATIENCE, quick=True)
message("report_without_a_field", "B7", "an agent whose reports are not understood is named once, and not met for ever",
        "del REPORT['over']\ndef follows(r): return dict(REPORT, seen=r['seq'])\nagent()", then=one_line,
        bound=BOUND + PATIENCE)
message("hello_without_a_field", "B7", "an agent whose hello is not understood is named once, and not met for ever",
        "del HELLO['cmdline']\nagent()", then=one_line, bound=BOUND + PATIENCE)


def named(world):
    lines = [text for _, _, _, text in world.log() if "version" in text and "99" in text]
    world.expect(lines, "no line of the log names the version 99")


@attack("B7")
def version_loops(world):
    """a worker that is not understood costs the daemon no processor time"""
    world.evil("del REPORT['over']\ndef follows(r): return dict(REPORT, seen=r['seq'])\nagent()").meet()
    before, end = processor(world.mount.process.pid), time.monotonic() + 4
    until(lambda: time.monotonic() > end, "four seconds")
    used = processor(world.mount.process.pid) - before
    world.expect(used < 0.8, f"{used:.1f} s of processor time in 4 s")


def processor(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
