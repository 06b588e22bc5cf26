"""Changed code that reads the machine that it runs on: what an import makes of it here is wrong in a service elsewhere,
so of such a release no value is carried."""
from __future__ import annotations

import ast
from collections.abc import Iterable

from klpfs.builder.plan.plans import ModulePlan

_READERS = frozenset("""environ environb getenv getpid getppid getuid geteuid getgid getegid getlogin getuser uname
    gethostname getfqdn getnode platform machine cpu_count process_cpu_count sched_getaffinity
    getcwd cwd expanduser gettempdir mkdtemp mkstemp access stat lstat exists isfile isdir
    listdir scandir iterdir open read_text read_bytes time time_ns monotonic perf_counter now
    today utcnow localtime gmtime tzname timezone random randint randrange choice shuffle
    urandom token_hex token_bytes token_urlsafe uuid1 uuid4 getrandbits SystemRandom argv
    executable prefix base_prefix exec_prefix modules isatty getrlimit sysconf
    getpreferredencoding getlocale getdefaultlocale getfilesystemencoding if_nameindex
    getaddrinfo version_info find_spec hash __file__ __path__ get_terminal_size""".split())


def machine_is_read(plans: Iterable[ModulePlan]) -> bool:
    """Whether changed code mentions what tells of the machine, by its name alone."""
    nodes: list[ast.AST] = []
    for plan in plans:
        nodes += [func.node for func in plan.funcs] + [module.tree for module in plan.new_modules]
        for work in (plan.at_import, plan.when_complete):
            nodes += [statement.node for statement in work.statements_to_run if statement.kind != "import"]
    return reads_machine(nodes)


def reads_machine(nodes: Iterable[ast.AST]) -> bool:
    """Whether syntax mentions what tells of the machine, the moment or chance."""
    names = {inner.attr if isinstance(inner, ast.Attribute) else getattr(inner, "id", "")
             for node in nodes for inner in ast.walk(node)}
    return not names.isdisjoint(_READERS)
