"""Pyro4 and Pyro5 under one set of names, for a daemon and a client that are written once.

Only what the two libraries call differently is here. Nothing hides how they behave: a
difference between them is a result that the tests compare, not something to even out.
"""

import importlib


class CustomError(Exception):
    """An exception class that both sides can import, so that the pickle family can carry it."""

    def __init__(self, message, code=0):
        super().__init__(message, code)
        self.code = code


class Pyro4Lib:
    name = "pyro4"
    serializers = ("serpent", "json", "marshal", "pickle", "dill", "msgpack", "cloudpickle")

    def __init__(self):
        self.root = importlib.import_module("Pyro4")
        self.core = importlib.import_module("Pyro4.core")
        self.errors = importlib.import_module("Pyro4.errors")
        self.socketutil = importlib.import_module("Pyro4.socketutil")
        self.message = importlib.import_module("Pyro4.message")
        self.config = self.root.config
        self.Proxy = self.root.Proxy
        self.Daemon = self.root.Daemon
        self.SerializedBlob = self.core.SerializedBlob
        self.StreamIterator = self.core._StreamResultIterator
        self.context = self.root.current_context
        self.expose, self.oneway, self.behavior = self.root.expose, self.root.oneway, self.root.behavior
        self.batch = self.root.batch

    def accept(self, serializers):
        """Sets the serializers that this process's daemons accept and its proxies may use."""
        self.config.SERIALIZERS_ACCEPTED = set(serializers)

    def inline_oneway(self):
        """Makes this process's daemons run oneway calls in order, not in threads of their own."""
        self.config.ONEWAY_THREADED = False

    def ping(self, proxy):
        """Sends a PING message on the proxy's open connection and waits for the pong."""
        self.message.Message.ping(proxy._pyroConnection, hmac_key=proxy._pyroHmacKey)


class Pyro5Lib:
    name = "pyro5"
    serializers = ("serpent", "json", "marshal", "msgpack")

    def __init__(self):
        self.root = importlib.import_module("Pyro5.api")
        self.core = importlib.import_module("Pyro5.core")
        self.errors = importlib.import_module("Pyro5.errors")
        self.socketutil = importlib.import_module("Pyro5.socketutil")
        self.message = importlib.import_module("Pyro5.protocol")
        self.config = self.root.config
        self.Proxy = self.root.Proxy
        self.Daemon = self.root.Daemon
        self.SerializedBlob = self.root.SerializedBlob
        self.StreamIterator = importlib.import_module("Pyro5.client")._StreamResultIterator
        self.context = self.root.current_context
        self.expose, self.oneway, self.behavior = self.root.expose, self.root.oneway, self.root.behavior
        self.batch = self.root.BatchProxy

    def accept(self, serializers):
        """Does nothing: a Pyro5 daemon accepts every serializer it knows."""

    def inline_oneway(self):
        """Makes this process's daemons run oneway calls in order, for which Pyro5 has no setting."""
        oneway = importlib.import_module("Pyro5.server")._OnewayCallThread
        oneway.start = oneway.run

    def ping(self, proxy):
        """Sends a PING message on the proxy's open connection and waits for the pong."""
        self.message.SendingMessage.ping(proxy._pyroConnection)


def load(name):
    """Imports the library called "pyro4" or "pyro5"."""
    return {"pyro4": Pyro4Lib, "pyro5": Pyro5Lib}[name]()
