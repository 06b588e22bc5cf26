"""Clients, what they count, and how they are asked: a line on standard input is answered with a line of JSON.

    mark        {"served", "failed", "worst" (ms), "errors" (some), "versions"} since the last mark
    pause       the same, once no request is under way and no connection open; 'resume' ends it (no answer)
"""
import collections
import json
import sys
import threading
import time


class Counter:
    def __init__(self):
        self.lock = threading.Condition()
        self.busy, self.going = 0, True
        self._clear()

    def _clear(self):
        self.served = self.failed = 0
        self.worst = 0.0
        self.errors = []
        self.versions = collections.Counter()

    def judge(self, body, begun):
        """Count an answer (bytes): lines that name one version, all alike. begun: time.perf_counter() when it was asked
        for."""
        versions = set(body.split())
        if len(versions) != 1 or not versions <= {b"0", b"lp_a", b"lp_b"}:
            return self.fail(f"answer {body[:200]!r}")
        with self.lock:
            self.served += 1
            self.versions[versions.pop().decode()] += 1
            self.worst = max(self.worst, time.perf_counter() - begun)

    def fail(self, error):
        with self.lock:
            self.failed += 1
            if len(self.errors) < 5:
                self.errors.append(str(error))

    def client(self, session):
        """For ever: session(), which makes one or more requests and counts them, and then has no connection."""
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.going)
                self.busy += 1
            session()
            with self.lock:
                self.busy -= 1
                self.lock.notify_all()

    def one(self, ask, pause):
        """A session of one request: ask() gives its answer, in bytes."""
        def session():
            begun = time.perf_counter()
            try:
                answer = ask()
            except Exception as error:
                self.fail(repr(error))
            else:
                self.judge(answer, begun)
            time.sleep(pause)
        return session

    def serve(self, *sessions):
        """Run a client for each session, answer standard input's lines until its end."""
        for session in sessions:
            threading.Thread(target=self.client, args=(session,), daemon=True).start()
        for line in map(str.strip, sys.stdin):
            with self.lock:
                self.going = line != "pause"
                self.lock.notify_all()
                if line == "pause":
                    self.lock.wait_for(lambda: not self.busy)
                if line != "resume":
                    print(json.dumps({"served": self.served, "failed": self.failed, "worst": self.worst * 1000,
                                      "errors": self.errors, "versions": dict(self.versions)}), flush=True)
                    self._clear()
