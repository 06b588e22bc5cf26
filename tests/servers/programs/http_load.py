"""HTTP clients: some keep their connections for a while, others make a new one for each request.

    http_load.py PORT KEEPING FRESH

A server may close a connection after an answer that says so; any other end of it is a failed request.
"""
import http.client
import random
import sys
import time

from counter import Counter

PATHS = ("/", "/stream")
REQUESTS = 40           # of one kept connection at most
PAUSE = 0.004           # seconds between two requests of a client


def requests(counter, port, keeping):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(random.randint(1, REQUESTS) if keeping else 1):
        begun = time.perf_counter()
        try:
            connection.request("GET", random.choice(PATHS), headers={} if keeping else {"Connection": "close"})
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise ValueError(f"status {response.status} {body[:200]!r}")
        except Exception as error:
            counter.fail(repr(error))
            break
        counter.judge(body, begun)
        if response.will_close or not counter.going:
            break
        time.sleep(PAUSE)
    connection.close()
    time.sleep(PAUSE)


if __name__ == "__main__":
    counter, (port, keeping, fresh) = Counter(), map(int, sys.argv[1:])
    counter.serve(*[lambda: requests(counter, port, True)] * keeping, *[lambda: requests(counter, port, False)] * fresh)
