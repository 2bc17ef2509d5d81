"""Real proxies of one library against a daemon of package control.

usage: proxies.py LIB LOCATION [HMACKEY]     LIB is Pyro4 or Pyro5, LOCATION host:port

Runs every check in every serializer and prints a line for each that went wrong; the exit
status is 0 where none did. With a key, what has to be signed is signed.
"""
import sys

lib, location = sys.argv[1:3]
key = sys.argv[3].encode() if len(sys.argv) > 3 else None

if lib == "Pyro4":
    import Pyro4 as pyro
    from Pyro4 import errors, message

    pyro.config.SERIALIZERS_ACCEPTED = {"serpent", "json", "marshal", "msgpack", "pickle"}
    dialect_serializers = ["serpent", "json", "marshal", "msgpack"]

    def batch_of(proxy):
        return pyro.batch(proxy)

    def ping(proxy):
        # Message.ping expects an unsigned answer.
        msg = message.Message(message.MSG_PING, b"ping", 42, 0, 7, hmac_key=key)
        proxy._pyroConnection.send(msg.to_bytes())
        equal("ping", message.Message.recv(proxy._pyroConnection, [message.MSG_PING], hmac_key=key).seq, 7)
else:
    import Pyro5.api as pyro
    from Pyro5 import errors, protocol

    dialect_serializers = ["serpent", "json", "marshal", "msgpack"]

    def batch_of(proxy):
        return pyro.BatchProxy(proxy)

    def ping(proxy):
        protocol.SendingMessage.ping(proxy._pyroConnection)

pyro.config.COMMTIMEOUT = 20
failures = 0


def fail(what):
    global failures
    failures += 1
    print(what, flush=True)


def proxy_for(serializer, object_id="lab"):
    p = pyro.Proxy("PYRO:%s@%s" % (object_id, location))
    p._pyroSerializer = serializer
    if key and lib == "Pyro4":
        p._pyroHmacKey = key
    return p


def equal(what, got, want):
    if got != want:
        fail("%s: got %r, want %r" % (what, got, want))


def raises(what, cls, text, call, *args, **kwargs):
    try:
        got = call(*args, **kwargs)
    except cls as x:
        if type(x) is not cls or text not in str(x):
            fail("%s: raised %r, want %s with %r" % (what, x, cls.__name__, text))
    except Exception as x:
        fail("%s: raised %s %r, want %s" % (what, type(x), x, cls.__name__))
    else:
        fail("%s: returned %r, want %s" % (what, got, cls.__name__))


def lists(v):
    """Without the difference of tuples and lists, which not every serializer keeps."""
    if isinstance(v, (list, tuple)):
        return [lists(x) for x in v]
    if isinstance(v, dict):
        return {k: lists(x) for k, x in v.items()}
    return v


def check_batches(p):
    b = batch_of(p)
    b.echo(1)
    b.naming()
    b.echo(2)
    results = b()
    equal("batch", lists(next(results)), [[1], {}])
    raises("batch", errors.NamingError, "unknown name: x", next, results)
    b.note("batched")
    equal("oneway batch", b(oneway=True), None)
    equal("notes", list(p.notes())[-1:], ["batched"])
    b = batch_of(p)
    b.nothing()
    raises("batch of nothing", AttributeError, "'Lab' object has no attribute 'nothing'", b)


def check(serializer):
    with proxy_for(serializer) as p:
        p._pyroBind()
        equal("methods", p._pyroMethods,
              {"echo", "naming", "broken", "panics", "note", "notes", "wait", "hold", "odd", "oddly"})
        equal("oneway", p._pyroOneway, {"note"})
        equal("attrs", p._pyroAttrs, {"colour"})

        args = [1, -2.5, "grün", None, True, [1, [2]], {"a": {"b": "c"}}, 2 ** 40]
        if serializer != "json":
            args.append(b"bytes" if serializer != "serpent" else 2 ** 80)
        equal("echo", lists(p.echo(*args, k="v", n=None)), [args, {"k": "v", "n": None}])
        raises("naming", errors.NamingError, "unknown name: x", p.naming)
        raises("broken", errors.PyroError, "internal error", p.broken)
        raises("odd", errors.SerializeError, "the result cannot be serialized", p.odd)
        ping(p) if p._pyroConnection else p._pyroBind()
        if serializer != "marshal":  # in which the libraries cannot send keywords of None
            equal("attribute", p.colour, "green")
            p.colour = "blue"
            check_batches(p)

        equal("oneway", p.note(serializer), None)
        equal("notes", list(p.notes())[-1:], [serializer])
        big = "x" * 200000
        equal("big", lists(p.echo(big)), [[big], {}])

        # Past the proxy's own checks.
        raises("method", AttributeError, "'Lab' object has no attribute 'nothing'", p._pyroInvoke, "nothing", [], {})
        raises("private", AttributeError, "attempt to access private attribute '_x'", p._pyroInvoke, "_x", [], {})
        raises("object", errors.DaemonError, "unknown object", p._pyroInvoke, "echo", [], {}, objectId="nobody")
        meta = p._pyroInvoke("get_metadata", ["lab"], {}, objectId="Pyro.Daemon")
        equal("get_metadata", set(meta["oneway"]), {"note"})
        ping(p)

        pyro.config.COMPRESSION = True
        try:
            equal("compressed", lists(p.echo(big)), [[big], {}])
        finally:
            pyro.config.COMPRESSION = False

        raises("blob", errors.DaemonError, "serialized blobs", p._pyroInvoke, "echo",
               [SerializedBlob("info", "data")], {})

    with proxy_for(serializer, "nobody") as p:
        raises("unknown object", errors.CommunicationError, "unknown object", p._pyroBind)
    with proxy_for(serializer, "Pyro.Daemon") as p:
        equal("ping", p.ping(), None)
        equal("registered", list(p.registered()), ["Pyro.Daemon", "lab"])
        if "bound on" not in p.info():
            fail("info: %r" % p.info())

    if lib == "Pyro4":
        pyro.config.METADATA = False
        try:
            with proxy_for(serializer) as p:
                equal("without metadata", lists(p.echo(1)), [[1], {}])
                p._pyroGetMetadata()
                equal("asked for metadata", p._pyroOneway, {"note"})
        finally:
            pyro.config.METADATA = True


SerializedBlob = pyro.core.SerializedBlob if lib == "Pyro4" else pyro.SerializedBlob

for serializer in dialect_serializers:
    before = failures
    try:
        check(serializer)
    except Exception as x:
        import traceback
        fail("".join(traceback.format_exception(type(x), x, x.__traceback__)))
    if failures > before:
        print("^ in %s" % serializer, flush=True)

if lib == "Pyro4":
    with proxy_for("pickle") as p:
        raises("pickle", errors.CommunicationError, "message used serializer that is not accepted: 4", p._pyroBind)
    with proxy_for("serpent") as p:
        p._pyroBind()
        p._pyroSerializer = "pickle"
        raises("pickled call", errors.CommunicationError, "message used serializer that is not accepted: 4", p.echo)
    if key:
        wrong = proxy_for("serpent")
        wrong._pyroHmacKey = b"wrong"
        # Our answer is signed with our key, which the proxy does not accept either.
        raises("wrong key", errors.CommunicationError, "hmac", wrong._pyroBind)

sys.exit(1 if failures else 0)
