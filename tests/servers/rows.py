"""The servers, how they are started, and which of their functions are patched together with the application's.

First functions that come and go, though some of them are nearly always on a stack (what waits for a request, what
handles a connection); then one that never ends, which blocks: it must be named, and the way back must be open.
"""
import dataclasses

from tests.servers.trial import Row

VIEWS = ["view", "stream"]
SYNC = {"gunicorn.workers.sync": ["SyncWorker.wait", "SyncWorker.accept", "SyncWorker.handle",
                                  "SyncWorker.handle_request"],
        "wsgi_app": [*VIEWS, "application"]}
GTHREAD = {"gunicorn.workers.gthread": ["ThreadWorker.accept", "ThreadWorker.finish_request", "ThreadWorker.handle",
                                        "ThreadWorker.handle_request"], "wsgi_app": VIEWS}
GEVENT = {"gunicorn.workers.base_async": ["AsyncWorker.handle", "AsyncWorker.handle_request"], "wsgi_app": VIEWS}
AIOHTTP = {"aiohttp.web_protocol": ["RequestHandler._handle_request", "RequestHandler.finish_response"],
           "aiohttp.web_app": ["Application._handle"], "aiohttp_app": VIEWS}
UVICORN = {"uvicorn.protocols.http.h11_impl": ["H11Protocol.handle_events", "RequestResponseCycle.run_asgi",
                                               "RequestResponseCycle.send"],
           "uvicorn.server": ["Server.on_tick"], "asgi_app": VIEWS}
DJANGO = {"django.core.handlers.base": ["BaseHandler.get_response", "BaseHandler._get_response"],
          "django.core.handlers.wsgi": ["WSGIHandler.__call__"],
          "django.core.handlers.exception": ["convert_exception_to_response.<locals>.inner,2"],
          "django_app": [*VIEWS, "lines"]}
POOL = {"pool": ["work", "inner", "steps"]}


def gunicorn(name, kind, workers, functions, app="wsgi_app:application", more=""):
    command = f"{{python}} -m gunicorn --no-control-socket --keep-alive 75 -b 127.0.0.1:{{port}} -w {workers} -k {kind} {more} {app}"
    return Row(f"gunicorn, {name}", command, workers + 1, functions)


def uvicorn(name, processes, more=""):
    command = f"{{python}} -m uvicorn --loop uvloop --http h11 --log-level warning --timeout-keep-alive 75 --port {{port}} {more} asgi_app:application"
    return Row(f"uvicorn with uvloop{name}", command, processes, UVICORN)


def pool(name, kind, processes, **more):
    return Row(name, f"{{python}} pool.py {kind} 3", processes, {**POOL, **more}, load="itself", main="pool")


def held(row, module, function, others=0, recycled=False):
    """The row's server with a patch of a function that never ends."""
    name = f"{row.name}: {function.rpartition('.')[2]}{', recycled' if recycled else ''}"
    return dataclasses.replace(row, name=name,
                               functions={**row.functions, module: [*row.functions.get(module, []), function]},
                               held=function, others=others, recycled=recycled)


GUNICORN_SYNC = gunicorn("sync", "sync", 2, SYNC)
GUNICORN_AIOHTTP = gunicorn("aiohttp", "aiohttp.GunicornWebWorker", 2, AIOHTTP, "aiohttp_app:application")
WAITRESS = Row(
    "waitress",
    "{python} -m waitress --threads 4 --port {port} --host 127.0.0.1 --channel-timeout 75 wsgi_app:application",
    1,
    {
        "waitress.task": ["Task.service", "WSGITask.execute"],
        "waitress.channel": ["HTTPChannel.service"],
        "wsgi_app": VIEWS,
    },
)
CELERY = Row("celery, prefork",
             "{python} -m celery -A celery_app worker -c 3 -l warning --without-gossip --without-mingle", 4,
             {"celery_app": ["inner", "steps", "work"],
              "celery.app.trace": ["build_tracer.<locals>.trace_task", "fast_trace_task"]}, load="celery_load.py",
             broker=True)
FORKED = pool("multiprocessing, fork", "fork", 4, **{"multiprocessing.pool": ["mapstar"]})
THREADS = pool("concurrent.futures, threads", "threads", 1, **{"concurrent.futures.thread": ["_WorkItem.run"]})

ROWS = [
    GUNICORN_SYNC,
    gunicorn("sync, 8 workers", "sync", 8, SYNC),
    gunicorn("gthread", "gthread", 2, GTHREAD, more="--threads 4"),
    gunicorn("gevent", "gevent", 2, GEVENT),
    GUNICORN_AIOHTTP,
    gunicorn(
        "aiohttp, by connection",
        "aiohttp.GunicornWebWorker",
        2,
        {**AIOHTTP, "aiohttp.web_protocol": ["RequestHandler.start"]},
        "aiohttp_app:application",
    ),
    uvicorn("", 1),
    uvicorn(", 2 workers", 2, "--workers 2"),
    WAITRESS,
    Row(
        "Django, gunicorn",
        "{python} -m gunicorn --no-control-socket --keep-alive 75 -b 127.0.0.1:{port} -w 2 -k gthread --threads 4 django_app:application",
        3,
        DJANGO,
    ),
    Row("Django, its own server", "{python} django_app.py runserver --noreload {port}", 1, DJANGO),
    CELERY,
    FORKED,
    pool("multiprocessing, spawn", "spawn", 4),
    pool("multiprocessing, forkserver", "forkserver", 4),
    pool(
        "concurrent.futures, processes",
        "processes",
        4,
        **{"concurrent.futures.process": ["_process_chunk", "_sendback_result"]},
    ),
    THREADS,
    held(GUNICORN_SYNC, "gunicorn.workers.sync", "SyncWorker.run_for_one", 1),
    held(GUNICORN_SYNC, "gunicorn.workers.sync", "SyncWorker.run_for_one", 1, recycled=True),
    held(GUNICORN_AIOHTTP, "aiohttp.worker", "GunicornWebWorker._run", 1),
    held(uvicorn("", 1), "asgi_app", "application"),
    held(WAITRESS, "waitress.task", "ThreadedTaskDispatcher.handler_thread"),
    held(CELERY, "billiard.pool", "Worker.workloop", 1),
    held(FORKED, "multiprocessing.pool", "worker", 1),
    held(THREADS, "concurrent.futures.thread", "_worker"),
]
