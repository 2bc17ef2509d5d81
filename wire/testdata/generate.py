"""Writes the golden files of package wire's tests with the real Pyro libraries.

    go test ./wire -run 'TestRefusals|TestOwn' -update    # only where messages changed
    .venv/bin/python wire/testdata/generate.py

The interpreter must have the packages of integration/requirements.txt (see
integration/venv.sh). Three files come out:

golden.json    messages encoded by Pyro's own classes, with what was asked for
refusals.json  the dispatcher's CONNECTFAILs, which the Go test wrote there,
               each with what Pyro reads in it
own.json       the same of its CONNECTs, CONNECTOKs, PINGs, calls, Nones and exceptions
"""
import json
import os
import uuid

import Pyro4.message
import Pyro4.util
import Pyro5
import Pyro5.callcontext
import Pyro5.protocol
import Pyro5.serializers

HERE = os.path.dirname(os.path.abspath(__file__))
CORRELATION = uuid.UUID("0a0b0c0d-0102-4304-8506-0708090a0b0c")
TYPES = ["CONNECT", "CONNECTOK", "CONNECTFAIL", "INVOKE", "RESULT", "PING"]
FLAGS = {
    48: {"Exception": 1, "Compressed": 2, "Oneway": 4, "Batch": 8,
         "MetaOnConnect": 16, "ItemStream": 32, "KeepSerialized": 64},
    502: {"Exception": 1, "Compressed": 2, "Oneway": 4, "Batch": 8,
          "ItemStream": 16, "KeepSerialized": 32},
}
SERIALIZERS = {
    48: ["serpent", "json", "marshal", "pickle", "dill", "msgpack", "cloudpickle"],
    502: ["serpent", "json", "marshal", "msgpack"],
}


def check_flags():
    """The table above against the libraries' constants."""
    constants = {"ItemStream": "ITEMSTREAMRESULT", "MetaOnConnect": "META_ON_CONNECT",
                 "KeepSerialized": "KEEPSERIALIZED"}
    for protocol, module in ((48, Pyro4.message), (502, Pyro5.protocol)):
        for name, bit in FLAGS[protocol].items():
            assert getattr(module, "FLAGS_" + constants.get(name, name.upper())) == bit, name
        for number, name in enumerate(TYPES, 1):
            assert getattr(module, "MSG_" + name) == number, name


def serializer(protocol, name):
    if protocol == 48:
        return Pyro4.util.get_serializer(name)
    return Pyro5.serializers.serializers[name]


def encode(protocol, msg_type, serializer_id, flags, seq, annotations, data, correlation, hmac_key):
    if protocol == 48:
        annotations = dict(annotations)
        if correlation:
            annotations["CORR"] = correlation.bytes
        return Pyro4.message.Message(msg_type, data, serializer_id, flags, seq,
                                     annotations=annotations, hmac_key=hmac_key).to_bytes()
    Pyro5.callcontext.current_context.correlation_id = correlation
    # Pyro5 decides about compression itself: it drops the flag it is given.
    Pyro5.config.COMPRESSION = bool(flags & Pyro5.protocol.FLAGS_COMPRESSED)
    message = Pyro5.protocol.SendingMessage(msg_type, flags, seq, serializer_id, data, annotations)
    Pyro5.config.COMPRESSION = False
    return message.data


def cases():
    """Yields (name, fields) of one message of each kind."""
    for protocol in (48, 502):
        def case(name, kind="INVOKE", by="serpent", flags=(), seq=7, annotations=(), data=b"data",
                 correlation=None, hmac_key=None, number=None, protocol=protocol):
            number = number or serializer(protocol, by).serializer_id
            bits = sum(FLAGS[protocol][f] for f in flags)
            message = encode(protocol, TYPES.index(kind) + 1, number, bits, seq,
                             dict(annotations), data, correlation, hmac_key)
            return {
                "name": "%d %s" % (protocol, name), "protocol": protocol, "type": kind,
                "serializer": by, "serializer_id": number, "flags": list(flags), "seq": seq,
                "annotations": [[k, v.hex()] for k, v in annotations],
                "correlation": correlation.hex if correlation else "",
                "hmac": hmac_key is not None,
                "data": "" if "Compressed" in flags else data.hex(),
                "message": message.hex(),
            }

        for kind in TYPES:
            yield case(kind, kind=kind)
        for name in SERIALIZERS[protocol]:
            value = serializer(protocol, name).dumps({"handshake": "hello", "object": "some.object"})
            yield case("CONNECT by " + name, kind="CONNECT", by=name, data=value)
        for flag in FLAGS[protocol]:
            yield case("flag " + flag, flags=[flag], data=b"x" * 200)
        yield case("all flags", flags=list(FLAGS[protocol]), data=b"x" * 200)
        yield case("old ping", kind="PING", by="unknown", number=42, seq=0, data=b"ping")
        yield case("no data", data=b"")
        yield case("highest seq", seq=65535)
        yield case("correlation", correlation=CORRELATION)
        yield case("one annotation", annotations=[("ABCD", b"value")])
        yield case("empty annotation", annotations=[("ABCD", b"")], data=b"")
        yield case("several annotations", annotations=[("ABCD", b"1" * 300), ("BLBI", b"\x00\xff"), ("STRM", b"id")],
                   correlation=CORRELATION)
        if protocol == 48:
            yield case("hmac", hmac_key=b"secret", annotations=[("ABCD", b"value")], correlation=CORRELATION)


def receive(protocol, message):
    """The message as the library's own receiving side has it, and its correlation id."""
    class Connection(object):
        def __init__(self):
            self.rest = message

        def recv(self, size):
            piece, self.rest = self.rest[:size], self.rest[size:]
            assert len(piece) == size, "message too short"
            return piece

    connection = Connection()
    if protocol == 48:
        msg = Pyro4.message.Message.recv(connection)
        correlation = msg.annotations.get("CORR", b"").hex()
    else:
        msg = Pyro5.protocol.recv_stub(connection)
        correlation = bytes(msg.corr_id).hex() if msg.flags & Pyro5.protocol.FLAGS_CORR_ID else ""
    assert not connection.rest, "bytes after the message"
    return msg, correlation


def deserialize(protocol, msg):
    if protocol == 48:
        return Pyro4.util.get_serializer_by_id(msg.serializer_id).deserializeData(msg.data)
    return Pyro5.serializers.serializers_by_id[msg.serializer_id].loads(msg.data)


def deserialize_call(protocol, msg):
    if protocol == 48:
        return Pyro4.util.get_serializer_by_id(msg.serializer_id).deserializeCall(msg.data)
    return Pyro5.serializers.serializers_by_id[msg.serializer_id].loadsCall(msg.data)


def read(protocol, message):
    """What the library makes of a refusal."""
    msg, correlation = receive(protocol, message)
    text = deserialize(protocol, msg)
    assert isinstance(text, str), type(text)
    return {"type": TYPES[msg.type - 1], "serializer_id": msg.serializer_id, "seq": msg.seq,
            "correlation": correlation, "text": text}


def read_own(protocol, message):
    """What the library makes of another message of the dispatcher's: the strings of
    a dict, a call or an exception, and the exception's class."""
    msg, correlation = receive(protocol, message)
    row = {"type": TYPES[msg.type - 1], "serializer_id": msg.serializer_id, "seq": msg.seq,
           "flags": sorted(name for name, bit in FLAGS[protocol].items() if msg.flags & bit),
           "correlation": correlation}
    if msg.type == Pyro5.protocol.MSG_PING:
        row["data"] = bytes(msg.data).decode("ascii")
        return row
    if msg.type == Pyro5.protocol.MSG_INVOKE:
        obj, method, args, kwargs = deserialize_call(protocol, msg)
        assert not args and isinstance(args, (tuple, list)) and kwargs == {}, (args, kwargs)
        row["call"] = [obj, method]
        return row
    value = deserialize(protocol, msg)
    if msg.type == Pyro5.protocol.MSG_CONNECTOK:
        assert set(value) == {"handshake", "meta"}, value
        assert all(isinstance(v, (list, tuple, set)) for v in value["meta"].values()), value
        row["meta"] = {k: ",".join(v) for k, v in value["meta"].items()}
        row["meta"]["handshake"] = value["handshake"]
    elif value is None:
        row["none"] = True
    elif isinstance(value, dict):
        row["dict"] = value
    else:
        assert isinstance(value, Exception), type(value)
        row["class"] = type(value).__module__ + "." + type(value).__name__
        row["args"] = list(value.args)
        assert not vars(value), vars(value)
    return row


def write(name, rows):
    with open(os.path.join(HERE, name), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print("%s: %d messages" % (name, len(rows)))


def main():
    check_flags()
    write("golden.json", list(cases()))
    with open(os.path.join(HERE, "refusals.json")) as f:
        refusals = json.load(f)
    for r in refusals:
        r["read"] = read(r["protocol"], bytes.fromhex(r["message"]))
    write("refusals.json", refusals)
    with open(os.path.join(HERE, "own.json")) as f:
        own = json.load(f)
    for o in own:
        o["read"] = read_own(o["protocol"], bytes.fromhex(o["message"]))
    write("own.json", own)


if __name__ == "__main__":
    main()
