"""Gives celery tasks, waits for their results; asked as counter.py says."""
from celery_app import work
from counter import Counter

CLIENTS = 4


def ask():
    return work.delay(1).get(timeout=30, interval=0.002).encode()


if __name__ == "__main__":
    counter = Counter()
    counter.serve(*[counter.one(ask, 0.002)] * CLIENTS)
