"""What the scenarios have in common: their registry, and the session each one runs in."""

import time
import uuid

import normal

ALL = {}


def scenario(*suites):
    """Registers a function of one Session as a scenario, named as the function is.

    suites are the sets it belongs to: "main" (every serializer and server type), "slow" (waits
    for timeouts), "big" (large payloads), "wire" (once per library, whatever the serializer),
    "commtimeout" (wants a daemon with COMMTIMEOUT), "hmac" (wants a daemon with a key) and
    "inline" (wants a daemon that runs oneway calls in order).
    """

    def register(function):
        ALL[function.__name__] = (suites or ("main",), function)
        return function

    return register


class Unexpected(AssertionError):
    """A scenario saw what no Pyro should do: a fault of the test or of the daemon, reported
    even when the same happens without a dispatcher."""


class Session:
    """One scenario's view of the daemon: proxies to it, closed at the end, and the frames that
    passed on them."""

    def __init__(self, lib, location, run, hmac=None):
        self.lib, self.location, self.run, self.hmac = lib, location, run, hmac
        self.context = lib.context
        self.normal = normal.Normalizer(run)
        self.frames = None
        self.opened = []

    def __enter__(self):
        self.context.annotations = {}
        self.context.response_annotations = {}
        self.context.correlation_id = None
        return self

    def __exit__(self, *_):
        self.context.correlation_id = None
        self.context.annotations = {}
        for proxy in self.opened:
            proxy._pyroTimeout = None
            proxy._pyroRelease()

    def uri(self, object_id="lab.worker"):
        return "PYRO:%s@%s" % (object_id, self.location)

    def proxy(self, object_id="lab.worker", handshake=None, kind=None):
        """Returns a new proxy, not yet connected."""
        proxy = (kind or self.lib.Proxy)(self.uri(object_id))
        if self.hmac:
            proxy._pyroHmacKey = self.hmac
        if handshake is not None:
            proxy._pyroHandshake = handshake
        self.opened.append(proxy)
        return proxy

    def outcome(self, function, *args, **kwargs):
        """Returns what the call gives, or the exception that it raises, normalized."""
        try:
            return self.normal.value(function(*args, **kwargs))
        except Exception as x:
            return self.normal.exception(x)

    def until(self, condition, what):
        """Waits until condition() is true, asking quietly: its calls are not recorded."""
        frames, self.frames = self.frames, None
        deadline = time.monotonic() + 20
        try:
            while not condition():
                if time.monotonic() > deadline:
                    raise Unexpected("waited in vain until " + what)
                time.sleep(0.01)
        finally:
            self.frames = frames

    def quietly(self, function, *args, **kwargs):
        """Calls without recording the frames."""
        frames, self.frames = self.frames, None
        try:
            return function(*args, **kwargs)
        finally:
            self.frames = frames

    def no_call_without_kwargs(self):
        """Tells that attributes and batches fail in the client already: the marshal serializer
        of both libraries cannot write a call whose kwargs are None."""
        return self.lib.config.SERIALIZER == "marshal"

    def new_id(self):
        """Returns an id that no other scenario or run uses."""
        return self.run + "/" + uuid.uuid4().hex


def expect(condition, what):
    if not condition:
        raise Unexpected(what)
