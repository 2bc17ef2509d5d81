"""The demo's client, and one to try yourself: an ordinary Pyro program that
believes it talks to its daemon.

usage: client.py pyro4|pyro5 [HOST:PORT [CLIENTS]]
"""
import sys

library = sys.argv[1]
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:9999"
clients = int(sys.argv[3]) if len(sys.argv) > 3 else 6

if library == "pyro5":
    from Pyro5.api import Proxy
else:
    from Pyro4 import Proxy

for i in range(1, clients + 1):
    with Proxy("PYRO:lab.thermometer@" + address) as thermometer:
        print("  %s client %d: %s" % (library, i, thermometer.read("bench %d" % i)), flush=True)
