"""One daemon of the demo: an ordinary Pyro object, with Pyro5 or with Pyro4.

usage: daemon.py NAME pyro4|pyro5

Prints the port it listens on, and serves until its standard input closes.
"""
import os
import sys
import threading

name, library = sys.argv[1:]
if library == "pyro5":
    from Pyro5.api import Daemon, expose
else:
    from Pyro4 import Daemon, expose


@expose
class Thermometer:
    def read(self, sensor):
        return "21.5 degrees at %s, says %s" % (sensor, name)

    def name(self):
        return name


def stop_with_parent():
    sys.stdin.read()
    os._exit(0)


# Every daemon that serves the object registers it under the same id: that is
# all that balancing asks of a Pyro server.
daemon = Daemon(host="127.0.0.1")
daemon.register(Thermometer(), "lab.thermometer")
print(daemon.sock.getsockname()[1] if hasattr(daemon, "sock") else daemon.locationStr.rsplit(":", 1)[1], flush=True)
threading.Thread(target=stop_with_parent, daemon=True).start()
daemon.requestLoop()
