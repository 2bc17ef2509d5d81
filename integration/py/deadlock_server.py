"""The server of a deadlock like that of Pyro4's example, for Pyro5: it calls its caller back.

It is told at the name server where its client's callback is, so that both ways can go through a
dispatcher.
"""

from Pyro5.api import Daemon, Proxy, expose, locate_ns


@expose
class Bouncer(object):
    def process(self, message, callback):
        with Proxy("PYRONAME:" + callback) as caller:
            return ["passed on from Server"] + caller.process(message + ["Server"])


with Daemon() as daemon:
    with locate_ns() as ns:
        ns.register("example.deadlock", daemon.register(Bouncer()))
    daemon.requestLoop()
