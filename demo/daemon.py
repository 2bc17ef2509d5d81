"""One daemon of the demo: an ordinary Pyro object, with Pyro5 or with Pyro4.

usage: daemon.py NAME pyro4|pyro5 [PORT]

It has four threads, and so serves four connections at most. Prints the port it
listens on, and serves until its standard input closes.
"""
import os
import sys
import threading

name, library = sys.argv[1:3]
port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
if library == "pyro5":
    from Pyro5.api import Daemon, config, expose
else:
    from Pyro4 import Daemon, config, expose

config.THREADPOOL_SIZE = config.THREADPOOL_SIZE_MIN = 4


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
daemon = Daemon(host="127.0.0.1", port=port)
daemon.register(Thermometer(), "lab.thermometer")
print(daemon.locationStr.rsplit(":", 1)[1], flush=True)
threading.Thread(target=stop_with_parent, daemon=True).start()
daemon.requestLoop()
