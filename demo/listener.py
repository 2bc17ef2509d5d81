"""One listener of the demo: an ordinary Pyro5 object that gets blobs.

usage: listener.py NAME NAMESERVER TOPIC...

Registers its object under the name lab.NAME, and at the dispatcher for the topics.
Prints what it gets, and serves until its standard input closes.
"""
import os
import sys
import threading

from Pyro5.api import Daemon, Proxy, expose, locate_ns

name, nameserver, *topics = sys.argv[1:]
host, port = nameserver.split(":")


class Listener:
    @expose
    def process_blob(self, blob):
        print("%s got %s: %s" % (name, blob.info, blob.deserialized()), flush=True)


def stop_with_parent():
    sys.stdin.read()
    os._exit(0)


daemon = Daemon(host="127.0.0.1")
uri = daemon.register(Listener())
with locate_ns(host, int(port)) as names:
    names.register("lab." + name, uri)
    registered_as = names.lookup("lab." + name)
with Proxy("PYRONAME:example.blobdispatcher@" + nameserver) as dispatcher:
    for topic in topics:
        dispatcher.register(topic, Proxy(uri))
print("%-8s listens to %s; it is at %s, and its name leads to %s"
      % (name, " and ".join(topics), uri.location, registered_as.location), flush=True)
threading.Thread(target=stop_with_parent, daemon=True).start()
daemon.requestLoop()
