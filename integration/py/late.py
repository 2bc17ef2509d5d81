"""Calls that take too long for the dispatcher, in one serializer, and what the proxy makes of
it: the exception's class, whether the connection was kept, and what the next call gives.
Prints one line of JSON."""

import json
import sys
import uuid

import pyrolib


def attempt(f):
    try:
        return {"value": f()}
    except Exception as x:
        return {"class": type(x).__module__ + "." + type(x).__name__, "text": str(x)}


def main():
    name, location, serializer, nested, seconds = sys.argv[1:]
    lib = pyrolib.load(name)
    lib.accept(lib.serializers)
    lib.config.SERIALIZER = serializer
    with lib.Proxy("PYRO:tier@" + location) as proxy:
        if nested == "nested":
            lib.context.correlation_id = uuid.UUID(int=7)
        proxy._pyroBind()
        before = proxy._pyroConnection
        result = attempt(lambda: proxy.nap(float(seconds)))
        result["kept"] = proxy._pyroConnection is before
        result["next"] = attempt(lambda: proxy.nap(0.0))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
