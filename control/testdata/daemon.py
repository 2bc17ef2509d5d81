"""A real daemon of one library for package control's client, with the object "lab".

usage: daemon.py LIB [HMACKEY]     LIB is Pyro4 or Pyro5

Prints its location and serves until its standard input ends.
"""
import sys
import threading

lib = sys.argv[1]

if lib == "Pyro4":
    import Pyro4 as pyro
    from Pyro4 import errors

    pyro.config.SERIALIZERS_ACCEPTED = {"serpent", "json", "marshal", "msgpack"}
else:
    import Pyro5.api as pyro
    from Pyro5 import errors


@pyro.expose
class Lab:
    def echo(self, *args, **kwargs):
        return [list(args), kwargs]

    def naming(self):
        raise errors.NamingError("unknown name: x")

    def key(self):
        return {}["missing"]

    def uri(self):
        return pyro.URI("PYRO:thing@[::1]:4711")

    def big(self, n):
        return "x" * n

    def compress(self, on):
        pyro.config.COMPRESSION = on


daemon = pyro.Daemon(host="127.0.0.1", port=0)
if len(sys.argv) > 2:
    daemon._pyroHmacKey = sys.argv[2].encode()
daemon.register(Lab(), "lab")
print(daemon.locationStr, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), daemon.shutdown()), daemon=True).start()
daemon.requestLoop()
