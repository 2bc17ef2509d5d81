"""Scenarios: payloads: blobs, raw replies, arrays, sizes around buffers, large ones."""

import hashlib

from scenario import expect, scenario

KIB, MIB = 1 << 10, 1 << 20


@scenario("main", "wire")
def blobs(s):
    """A SerializedBlob names its target in an annotation and stays serialized on the way."""
    p, results = s.proxy(), []
    blob = s.lib.SerializedBlob
    for info in ["name", "", "lab.worker", 17, None, "gr\u00fc\u00df \u4f60\u597d", b"raw", ("a", 1, None), ["list", {"k": 2.5}], "i" * 1000]:
        results.append(s.outcome(p.blob, blob(info, [1, "two", [3.5]])))
        s.context.annotations = {}
    results.append(s.outcome(p.blob, blob("large", ["x" * 200_000])))
    s.context.annotations = {}
    expect(results[0][0] == "'name'", "the daemon sees the blob's info")
    return results + [s.outcome(p.blob, blob("a", 1), 2), s.outcome(p.echo, "after")]


@scenario("main", "wire")
def raw_replies(s):
    """The reply as it came: flags, sequence number, serializer, annotations and every byte."""
    p, results = s.proxy(), []
    p._pyroBind()
    p._pyroRawWireResponse = True
    for method, args in [("echo", ("text",)), ("echo", ("x" * 5000,)), ("nothing", ()), ("make_text", (MIB,)), ("fail", ("value",))]:
        msg = p._pyroInvoke(method, args, {})
        annotations = {k: s.normal.value(bytes(v)) for k, v in msg.annotations.items() if k not in ("CORR", "HMAC")}
        results.append([method, msg.type, msg.flags, msg.seq, msg.serializer_id, annotations,
                        len(msg.data), hashlib.sha256(msg.data).hexdigest()])
    return results


@scenario("main")
def arrays(s):
    """numpy arrays: the pickle family carries them, the others refuse in their own way."""
    import numpy

    p = s.proxy()
    made = [numpy.arange(6, dtype="int16").reshape(2, 3), numpy.zeros((0, 4)), numpy.arange(40_000, dtype="float64").reshape(200, 200)]
    results = [s.outcome(p.transpose, array) for array in made]
    if s.lib.config.SERIALIZER in ("pickle", "dill", "cloudpickle"):
        expect(results[0]["shape"] == [3, 2], "an array comes back transposed")
    return results


@scenario("main")
def sizes(s):
    """Payloads around the sizes where buffers fill and paths change, up and down."""
    p, results = s.proxy(), []
    for size in [1, 100, 101, 199, 201, 4 * KIB, 16 * KIB, 32 * KIB - 64, 64 * KIB - 200, 64 * KIB - 24, 64 * KIB, 64 * KIB + 40,
                 128 * KIB, MIB]:
        text = "x" * size
        results.append([size, s.outcome(p.measure, text), p.echo(text) == text])
    expect(all(same for _, _, same in results), "what goes up comes down")
    return results


@scenario("main")
def binary(s):
    p, data = s.proxy(), bytes(range(256)) * 4096
    return [s.outcome(p.measure, data), s.outcome(p.make_bytes, MIB)]


@scenario("big")
def large(s):
    """64 MiB up, and 64 MiB down."""
    p, size = s.proxy(), 64 * MIB
    text = "0123456789abcdef" * (size // 16)
    kind, length, digest = p.measure(text)
    expect((length, digest) == (size, hashlib.sha256(text.encode()).hexdigest()), "64 MiB arrive")
    down = p.make_text(size)
    expect(down == text, "64 MiB come back")
    return [kind, length, digest, len(down), s.outcome(p.echo, "after")]
