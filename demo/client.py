"""The demo's client, and one to try yourself: an ordinary Pyro program that
believes it talks to its daemon.

usage: client.py pyro4|pyro5 [HOST:PORT [CLIENTS [SECONDS]]]

CLIENTS proxies connect and call once each; with SECONDS they stay connected and
go on calling in turn, and what they got is counted.
"""
import collections
import sys
import time

library = sys.argv[1]
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:9999"
clients = int(sys.argv[3]) if len(sys.argv) > 3 else 6
seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 0

if library == "pyro5":
    from Pyro5.api import Proxy
else:
    from Pyro4 import Proxy

thermometers = [Proxy("PYRO:lab.thermometer@" + address) for _ in range(clients)]
for i, thermometer in enumerate(thermometers, 1):
    answer = thermometer.read("bench %d" % i)
    if not seconds:
        print("  %s client %d: %s" % (library, i, answer), flush=True)

if seconds:
    print("connected", flush=True)
    answers, failures = collections.Counter(), []
    end, i = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        i += 1
        try:
            answers[thermometers[i % clients].name()] += 1
        except Exception as x:
            failures.append(repr(x))
    print("  %d calls answered: %s" % (answers.total(), ", ".join("%s %d" % c for c in sorted(answers.items()))))
    for failure in failures[:5]:
        print("  " + failure)
    print("  %d calls failed" % len(failures))
