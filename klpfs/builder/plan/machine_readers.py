"""Changed code that reads the machine that it runs on: what an import makes of it here is wrong in a service elsewhere,
so of a release that reads it at import no value is carried."""
from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from klpfs.builder.plan.plans import ModulePlan
from klpfs.builder.syntax import FUNCTIONS, last_name
from klpfs.cpython.raw import first_line

_READERS = frozenset("""environ environb getenv getpid getppid getuid geteuid getgid getegid getlogin getuser uname
    gethostname getfqdn getnode platform machine cpu_count process_cpu_count sched_getaffinity
    getcwd cwd expanduser gettempdir mkdtemp mkstemp access stat lstat exists isfile isdir
    listdir scandir iterdir open read_text read_bytes time time_ns monotonic perf_counter now
    today utcnow localtime gmtime tzname timezone random randint randrange choice shuffle
    urandom token_hex token_bytes token_urlsafe uuid1 uuid4 getrandbits SystemRandom argv
    executable prefix base_prefix exec_prefix modules isatty getrlimit sysconf
    getpreferredencoding getlocale getdefaultlocale getfilesystemencoding if_nameindex
    getaddrinfo version_info find_spec hash __file__ __path__ get_terminal_size""".split())


def machine_is_read(plans: Iterable[ModulePlan], ran: Collection[str] | None = None) -> bool:
    """Whether changed code mentions what tells of the machine, by its name alone. ran: "FILE:LINE" of the functions
    that run when NEW is imported, which alone make values then; None, or with "" in it: any may."""
    for plan in plans:
        nodes: list[ast.AST] = [func.node for func in plan.funcs]
        for work in (plan.at_import, plan.when_complete):
            nodes += [statement.node for statement in work.statements_to_run if statement.kind != "import"]
        files = [(plan.new.file, nodes)] + [(module.file, [module.tree]) for module in plan.new_modules]
        if any(reads_machine(nodes, file, ran) for file, nodes in files):
            return True
    return False


def reads_machine(nodes: Iterable[ast.AST], file: str = "", ran: Collection[str] | None = None) -> bool:
    """Whether syntax of a file mentions what tells of the machine, the moment or chance; ran: as for
    machine_is_read."""
    todo, every = list(nodes), ran is None or "" in ran
    while todo:
        node = todo.pop()
        if isinstance(node, FUNCTIONS) and not every and f"{file}:{first_line(node)}" not in (ran or ()):
            todo += [*node.decorator_list, node.args]       # these are evaluated where the function is made
            continue
        if last_name(node) in _READERS:
            return True
        todo += ast.iter_child_nodes(node)
    return False
