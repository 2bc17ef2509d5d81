"""Pyro clients that call all the time, and tell what became of it.

Each group is NAME:OBJECT:CLIENTS:CALLS. Its clients make one call after the other; CALLS is how
many on one connection before they connect again, 0 for all. Each line on stdin is answered with
one of JSON that begins with the line: for each group the number of calls, the first of the calls
that failed, the longest of those that did not, in seconds, and which daemon answered how many,
the first time when. It leaves when its stdin closes.
"""

import argparse
import json
import os
import sys
import threading
import time

import pyrolib

PAUSE = 0.005  # between two calls: the test is not about how many there can be
PATIENCE = 50.0  # after which a call has failed
SHOWN = 5  # of the failures


class Group:
    def __init__(self, text):
        self.name, self.object, clients, calls = text.split(":")
        self.clients, self.calls_each = int(clients), int(calls)
        self.lock = threading.Lock()
        self.calls, self.failed, self.failures, self.longest = 0, 0, [], 0.0
        self.daemons, self.first = {}, {}

    def answered(self, daemon, began):
        now = time.time()
        with self.lock:
            self.calls += 1
            self.longest = max(self.longest, now - began)
            self.daemons[daemon] = self.daemons.get(daemon, 0) + 1
            self.first.setdefault(daemon, now)

    def fail(self, x):
        with self.lock:
            self.failed += 1
            if len(self.failures) < SHOWN:
                self.failures.append("%s: %s" % (type(x).__name__, x))

    def report(self, again):
        with self.lock:
            report = {"calls": self.calls, "failed": self.failed, "failures": self.failures,
                      "longest": self.longest, "daemons": self.daemons, "first": self.first}
            copy = json.loads(json.dumps(report))
            if again:
                self.daemons, self.first = {}, {}
            return copy


def call_on(lib, location, group):
    while True:
        proxy = lib.Proxy("PYRO:%s@%s" % (group.object, location))
        with proxy:
            made = 0
            while not group.calls_each or made < group.calls_each:
                began = time.time()
                try:
                    group.answered(proxy.whoami(), began)
                except Exception as x:
                    group.fail(x)
                    break
                made += 1
                time.sleep(PAUSE)
        time.sleep(PAUSE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--location", required=True)
    parser.add_argument("group", nargs="+", type=Group)
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)
    lib.accept(lib.serializers)
    lib.config.COMMTIMEOUT = PATIENCE
    lib.config.MAX_RETRIES = 0

    for group in args.group:
        for _ in range(group.clients):
            threading.Thread(target=call_on, args=(lib, args.location, group), daemon=True).start()
    for line in sys.stdin:
        # A line that begins with "again" lets the count of daemons begin anew.
        print(line.strip(), json.dumps({g.name: g.report(line.startswith("again")) for g in args.group}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
