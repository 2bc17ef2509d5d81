"""A name server of Pyro's own with one thing wrong, to see that a comparison finds it.

usage: ns_wrong.py --lib pyro4|pyro5 --wrong WHAT

Prints its location as a line of JSON, and leaves when stdin closes.
"""

import argparse
import importlib
import json
import os
import re
import sys
import threading

import pyrolib


def make_names(lib, naming, wrong):
    class Names(naming.NameServer):
        @lib.expose
        def lookup(self, name, return_metadata=False):
            found = super().lookup(name, return_metadata)
            if return_metadata and wrong == "type of metadata":
                return found[0], tuple(found[1])
            if return_metadata and wrong == "tuple for list":
                return list(found)
            if not return_metadata and wrong == "string for URI":
                return str(found)
            return found

        @lib.expose
        def register(self, name, uri, safe=False, metadata=None):
            if wrong == "unsafe":
                safe = False
            if wrong == "other object" and str(uri).startswith("PYRO:obj_b@"):
                uri = "PYRO:obj_z@127.0.0.1:1"
            return super().register(name, uri, safe, metadata)

        @lib.expose
        def list(self, prefix=None, regex=None, *args, **kwargs):
            if regex is not None and prefix is None and wrong == "search":
                try:
                    regex = ".*(" + re.compile(regex).pattern + ")"
                except re.error:
                    pass
            return super().list(prefix, regex, *args, **kwargs)

        @lib.expose
        def remove(self, name=None, prefix=None, regex=None):
            removed = super().remove(name, prefix, regex)
            return bool(removed) if wrong == "bool for int" else removed

        @lib.expose
        def set_metadata(self, name, metadata):
            try:
                super().set_metadata(name, metadata)
            except lib.errors.NamingError as x:
                raise lib.errors.NamingError(str(x) + "!") if wrong == "text" else x
            except TypeError as x:
                raise ValueError(str(x)) if wrong == "class" else x

        @lib.expose
        def count(self):
            return super().count() + (wrong == "count")

    return Names()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--wrong", default="")
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)
    naming = importlib.import_module({"pyro4": "Pyro4.naming", "pyro5": "Pyro5.nameserver"}[args.lib])

    daemon = lib.Daemon(host="127.0.0.1")
    names = make_names(lib, naming, args.wrong)
    uri = daemon.register(names, "Pyro.NameServer")
    own = {"pyro4": "class:Pyro4.naming.NameServer", "pyro5": "class:Pyro5.nameserver.NameServer"}[args.lib]
    names.register("Pyro.NameServer", uri, metadata={own})
    print(json.dumps({"location": daemon.locationStr}), flush=True)
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    daemon.requestLoop()


if __name__ == "__main__":
    main()
