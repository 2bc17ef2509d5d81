"""The objects that the test daemon serves: one for every kind of call there is."""

import hashlib
import os
import threading
import time

import pyrolib

# A held call that nobody lets go ends by itself, but long after any test has given up on it.
HOLD_SECONDS = 300


class Ledger:
    """How often each call id was executed: what shows a call lost or run twice."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = {}

    def add(self, call_id):
        with self.lock:
            self.counts[call_id] = self.counts.get(call_id, 0) + 1
            return self.counts[call_id]

    def read(self, prefix):
        with self.lock:
            return {k: v for k, v in self.counts.items() if k.startswith(prefix)}


class Resource:
    """A resource bound to a client's connection; Pyro calls close when that connection goes."""

    def __init__(self, key, closed):
        self.key = key
        self.closed = closed

    def close(self):
        self.closed.append(self.key)


def make_objects(lib, name):
    """Returns the objects and classes to register, by id. Their classes are made here because
    the decorators come from the library that was asked for."""

    ctx = lib.context
    ledger = Ledger()
    closed_resources = []
    resources = {}
    held = {}
    held_lock = threading.Lock()

    def hold_events(key):
        with held_lock:
            return held.setdefault(key, (threading.Event(), threading.Event()))

    class Helper:
        @lib.expose
        def hello(self, who):
            return "hello " + who

    class Worker:
        """The registered object: it has no state tied to a connection except what it tracks."""

        def __init__(self):
            self._value = "initial"

        # Plain calls.

        @lib.expose
        def echo(self, value):
            return value

        @lib.expose
        def everything(self, *args, **kwargs):
            return {"args": list(args), "kwargs": kwargs}

        @lib.expose
        def add(self, a, b):
            return a + b

        @lib.expose
        def nothing(self):
            pass

        @lib.expose
        def whoami(self):
            return name

        @lib.expose
        def pid(self):
            return os.getpid()

        def not_exposed(self):
            return "never"

        def _private(self):
            return "never"

        # The ledger.

        @lib.expose
        def record(self, call_id):
            return ledger.add(call_id)

        @lib.expose
        @lib.oneway
        def record_oneway(self, call_id):
            ledger.add(call_id)

        @lib.expose
        @lib.oneway
        def fail_oneway(self, call_id):
            ledger.add(call_id)
            raise ValueError("nobody hears this")

        @lib.expose
        def recorded(self, prefix):
            return ledger.read(prefix)

        @lib.expose
        def recorded_order(self, prefix):
            """The ids in the order of their first calls."""
            return list(ledger.read(prefix))

        # Calls that last as long as the test wants.

        @lib.expose
        def hold(self, key):
            started, let_go = hold_events(key)
            started.set()
            return "let go" if let_go.wait(HOLD_SECONDS) else "gave up"

        @lib.expose
        def holding(self, key, seconds):
            """Waits until a call of hold(key) is running; tells if there is one."""
            return hold_events(key)[0].wait(seconds)

        @lib.expose
        def let_go(self, key):
            hold_events(key)[1].set()

        @lib.expose
        def sleep(self, seconds):
            time.sleep(seconds)
            return "slept"

        # Attributes.

        @property
        def value(self):
            return self._value

        @value.setter
        def value(self, new):
            if new == "refused":
                raise ValueError("this value is refused")
            self._value = new

        lib.expose(value)

        @property
        def readonly(self):
            return "read only"

        lib.expose(readonly)

        @property
        def broken(self):
            raise RuntimeError("broken attribute")

        lib.expose(broken)

        # Errors.

        @lib.expose
        def fail(self, kind):
            errors = {
                "value": lambda: ValueError("bad value", 42),
                "key": lambda: KeyError("missing"),
                "zero": lambda: ZeroDivisionError("division by zero"),
                "timeout": lambda: TimeoutError("the builtin one"),
                "unicode": lambda: ValueError("gr\u00fc\u00df \u4f60\u597d"),
                "os": lambda: OSError(2, "No such file or directory"),
                "stop": lambda: StopIteration("stopped"),
                "custom": lambda: pyrolib.CustomError("custom failure", 7),
                "pyro": lambda: lib.errors.PyroError("a Pyro error"),
                "daemon": lambda: lib.errors.DaemonError("a daemon error"),
                "security": lambda: lib.errors.SecurityError("a security error"),
                "serialize": lambda: lib.errors.SerializeError("a serialize error"),
                "communication": lambda: lib.errors.CommunicationError("a communication error"),
                "pyro_timeout": lambda: lib.errors.TimeoutError("Pyro's timeout"),
                "large": lambda: ValueError("x" * 200_000),
            }
            raise errors[kind]()

        @lib.expose
        def unserializable(self):
            return threading.Lock()

        # Item streams.

        @lib.expose
        def count(self, n):
            return (i for i in range(n))

        @lib.expose
        def blocks(self, n, size):
            return (chr(97 + i % 26) * size for i in range(n))

        @lib.expose
        def broken_stream(self, n):
            def items():
                yield from range(n)
                raise ValueError("the stream broke")

            return items()

        @lib.expose
        def open_streams(self):
            return len(self._pyroDaemon.streaming_responses)

        # Annotations and the call context.

        @lib.expose
        def request_annotations(self):
            skip = ("CORR", "HMAC")
            return {k: [len(v), hashlib.sha256(v).hexdigest()] for k, v in ctx.annotations.items() if k not in skip}

        @lib.expose
        def annotate(self, count, size):
            """Answers with count annotations of size bytes each."""
            ctx.response_annotations = {"AN%02d" % i: bytes([i % 256]) * size for i in range(count)}

        @lib.expose
        def echo_annotations(self):
            ctx.response_annotations = {k: bytes(v) for k, v in ctx.annotations.items() if k.startswith("X")}

        @lib.expose
        def context(self):
            return [str(ctx.correlation_id), ctx.seq, ctx.msg_flags, ctx.serializer_id]

        # Payloads.

        @lib.expose
        def measure(self, data):
            raw = data.encode() if isinstance(data, str) else bytes(data)
            return [type(data).__name__, len(data), hashlib.sha256(raw).hexdigest()]

        @lib.expose
        def make_text(self, size):
            return "0123456789abcdef" * (size // 16)

        @lib.expose
        def make_bytes(self, size):
            return bytes(range(256)) * (size // 256)

        @lib.expose
        def blob(self, blob):
            data = blob.deserialized()
            return [repr(blob.info), [repr(item) for item in data]]

        @lib.expose
        def transpose(self, array):
            return array.T * 2

        # Objects that travel.

        @lib.expose
        def call_back(self, target, times):
            return [target.notify(i) for i in range(times)]

        @lib.expose
        def call_back_failing(self, target):
            try:
                target.fail()
            except Exception as x:
                return [type(x).__name__, str(x), bool(getattr(x, "_pyroTraceback", None))]

        @lib.expose
        def call_back_oneway(self, target, times):
            for i in range(times):
                target.notify_oneway(i)

        @lib.expose
        def describe_proxy(self, proxy):
            return [type(proxy).__name__, proxy._pyroUri.object, repr(proxy._pyroHandshake),
                    sorted(proxy._pyroMethods), sorted(proxy._pyroAttrs), sorted(proxy._pyroOneway)]

        @lib.expose
        def call_proxy(self, proxy, value):
            """Calls the worker behind a proxy: a nested call."""
            with proxy:
                return proxy.echo(value)

        @lib.expose
        def helper(self):
            """Answers with an object of this daemon, which travels as a proxy."""
            return helper

        # Resources that die with the connection.

        @lib.expose
        def track(self, key):
            resource = resources.setdefault(key, Resource(key, closed_resources))
            ctx.track_resource(resource)

        @lib.expose
        def untrack(self, key):
            ctx.untrack_resource(resources[key])

        @lib.expose
        def closed(self, key):
            return closed_resources.count(key)

    class Counter:
        """Counts its own calls, so that a caller sees which instance it reached."""

        made = 0
        lock = threading.Lock()

        def __init__(self):
            with Counter.lock:
                Counter.made += 1
                self.serial = Counter.made
            self.calls = 0

        @lib.expose
        def bump(self):
            self.calls += 1
            return [self.serial, self.calls]

    @lib.behavior(instance_mode="single")
    class Single(Counter):
        pass

    @lib.behavior(instance_mode="session")
    class Session(Counter):
        pass

    @lib.behavior(instance_mode="percall")
    class PerCall(Counter):
        pass

    class Default(Counter):
        """No behavior given: Pyro makes one instance for each connection."""

    class Failing:
        """A class whose instances cannot be made."""

        def __init__(self):
            raise RuntimeError("no instance today")

        @lib.expose
        def anything(self):
            pass

    class Nothing:
        """Exposes nothing: clients refuse it."""

    helper = Helper()
    return {
        "lab.worker": Worker(), "lab.helper": helper, "lab.single": Single, "lab.session": Session,
        "lab.percall": PerCall, "lab.default": Default, "lab.failing": Failing, "lab.nothing": Nothing(),
        "other.worker": Worker(),
        "l\u00e4b.\u4f60\u597d": Worker(), 'quo"te\\d\'x': Worker(),
    }
