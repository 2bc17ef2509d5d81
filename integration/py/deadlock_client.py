"""The client of a deadlock like that of Pyro4's example, for Pyro5.

In Pyro4 every proxy has a lock, which a call holds until it has its answer: a callback that uses
its caller's proxy waits for ever. A Pyro5 proxy belongs to a thread instead, so that programs
that share one between threads have a lock of their own around it, and the same deadlock.
"""

import sys
import threading

from Pyro5.api import Daemon, Proxy, expose, locate_ns

lock = threading.Lock()
server = Proxy("PYRONAME:example.deadlock")


def process(message):
    with lock:
        server._pyroClaimOwnership()
        return server.process(message, "example.deadlock.callback")


@expose
class Bouncer(object):
    def process(self, message):
        return ["passed on from Client"] + process(message + ["Client"])


daemon = Daemon()
with locate_ns() as ns:
    ns.register("example.deadlock.callback", daemon.register(Bouncer()))
threading.Thread(target=daemon.requestLoop, daemon=True).start()
print("Result=", process(["hello"]))
