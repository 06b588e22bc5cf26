"""Celery tasks; broker and results in the redis at the socket REDIS."""
import os

from celery import Celery
from stacks import version

app = Celery("celery_app", broker="redis+socket://" + os.environ["REDIS"],
             backend="redis+socket://" + os.environ["REDIS"])
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


def inner():
    return [version() for _ in range(2)]


@app.task
def work(number):
    return "\n".join([*inner(), *steps()])


def steps():
    for _ in range(2):
        yield version()
