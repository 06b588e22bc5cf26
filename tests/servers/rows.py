"""The servers, how they are started, and which of their functions are patched together with the application's."""
from trial import Row

def gunicorn(name, kind, workers, functions, app="wsgi_app:application", more=""):
    command = f"{{python}} -m gunicorn --no-control-socket --keep-alive 75 -b 127.0.0.1:{{port}} -w {workers} -k {kind} {more} {app}"
    return Row(f"gunicorn, {name}", command, workers + 1, functions)


WSGI = ["view", "stream"]
SYNC = {"gunicorn.workers.sync": ["SyncWorker.handle", "SyncWorker.handle_request"], "wsgi_app": [*WSGI, "application"]}
POOL = {"pool": ["work", "inner", "steps"]}


def uvicorn(name, processes, workers):
    return Row(f"uvicorn {name}", f"{{python}} -m uvicorn --loop uvloop --http h11 --log-level warning --timeout-keep-alive 75 --port {{port}} {workers} asgi_app:application",
               processes, {"uvicorn.protocols.http.h11_impl": ["H11Protocol.handle_events", "RequestResponseCycle.run_asgi", "RequestResponseCycle.send"],
                           "asgi_app": WSGI})


def django(name, command, processes):
    return Row(f"Django, {name}", command, processes, {
        "django.core.handlers.base": ["BaseHandler.get_response", "BaseHandler._get_response"], "django.core.handlers.wsgi": ["WSGIHandler.__call__"],
        "django.core.handlers.exception": ["convert_exception_to_response.<locals>.inner,2"], "django_app": ["view", "stream", "lines"]})


def pool(name, kind, processes, **more):
    return Row(name, f"{{python}} pool.py {kind} 3", processes, POOL, load="itself", main="pool", **more)


ROWS = [
    gunicorn("sync", "sync", 2, SYNC),
    gunicorn("sync, 8 workers", "sync", 8, SYNC),
    gunicorn("gthread", "gthread", 2, {"gunicorn.workers.gthread": ["ThreadWorker.handle", "ThreadWorker.handle_request"], "wsgi_app": WSGI},
             more="--threads 4"),
    gunicorn("gevent", "gevent", 2, {"gunicorn.workers.base_async": ["AsyncWorker.handle", "AsyncWorker.handle_request"], "wsgi_app": WSGI}),
    gunicorn("aiohttp", "aiohttp.GunicornWebWorker", 2, {"aiohttp.web_protocol": ["RequestHandler._handle_request", "RequestHandler.finish_response"],
             "aiohttp.web_app": ["Application._handle"], "aiohttp_app": WSGI}, "aiohttp_app:application"),
    uvicorn("with uvloop", 1, ""),
    uvicorn("with uvloop, 2 workers", 2, "--workers 2"),
    Row("waitress", "{python} -m waitress --threads 4 --port {port} --host 127.0.0.1 --channel-timeout 75 wsgi_app:application", 1,
        {"waitress.task": ["Task.service", "WSGITask.execute"], "waitress.channel": ["HTTPChannel.service"], "wsgi_app": WSGI}),
    django("gunicorn", "{python} -m gunicorn --no-control-socket --keep-alive 75 -b 127.0.0.1:{port} -w 2 -k gthread --threads 4 django_app:application", 3),
    django("its own server", "{python} django_app.py runserver --noreload {port}", 1),
    Row("celery, prefork", "{python} -m celery -A celery_app worker -c 3 -l warning --without-gossip --without-mingle", 4,
        {"celery_app": ["inner", "steps", "work"], "celery.app.trace": ["build_tracer.<locals>.trace_task", "fast_trace_task"]}, load="celery_load.py", broker=True),
    pool("multiprocessing, fork", "fork", 4),
    pool("multiprocessing, spawn", "spawn", 4),
    pool("multiprocessing, forkserver", "forkserver", 4),
    pool("concurrent.futures, processes", "processes", 4),
    pool("concurrent.futures, threads", "threads", 1),
]
