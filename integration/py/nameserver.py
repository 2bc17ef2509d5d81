"""A name server of Pyro's own that hands out the addresses of a dispatcher in place of the daemons'.

usage: nameserver.py --lib pyro4|pyro5

Prints its location as a line of JSON, then a line for each registration: {"name": ..., "object":
..., "location": ...}. A line of JSON on stdin, {"host:port of a daemon": "host:port of a
dispatcher", ...}, tells what to hand out; who looks up a name before its daemon is among them
waits. It leaves when stdin closes.
"""

import argparse
import importlib
import json
import os
import sys
import threading

import pyrolib


def make_names(lib, naming, mapping, changed):
    class Names(naming.NameServer):
        @lib.expose
        def lookup(self, *args, **kwargs):
            found = super().lookup(*args, **kwargs)
            if isinstance(found, (tuple, list)):  # with metadata
                return (self.mapped(found[0]),) + tuple(found[1:])
            return self.mapped(found)

        @lib.expose
        def register(self, name, uri, *args, **kwargs):
            super().register(name, uri, *args, **kwargs)
            uri = lib.core.URI(str(uri))
            line = json.dumps({"name": name, "object": uri.object, "location": uri.location})
            with changed:  # print would let another thread's line in before the end of this one
                print(line, flush=True)

        def mapped(self, uri):
            with changed:
                changed.wait_for(lambda: uri.location in mapping)
            return lib.core.URI("PYRO:%s@%s" % (uri.object, mapping[uri.location]))

    return Names()


def read_mapping(mapping, changed):
    for line in sys.stdin:
        with changed:
            mapping.update(json.loads(line))
            changed.notify_all()
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)
    naming = importlib.import_module({"pyro4": "Pyro4.naming", "pyro5": "Pyro5.nameserver"}[args.lib])

    mapping, changed = {}, threading.Condition()
    daemon = lib.Daemon(host="127.0.0.1")
    daemon.register(make_names(lib, naming, mapping, changed), "Pyro.NameServer")
    print(json.dumps({"location": daemon.locationStr}), flush=True)
    threading.Thread(target=read_mapping, args=(mapping, changed), daemon=True).start()
    daemon.requestLoop()


if __name__ == "__main__":
    main()
