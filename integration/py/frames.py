"""Records the frames that the scenario's thread sends and receives: type, flags, sequence
number, serializer, annotation ids, and whose correlation id. What a caller cannot see in a
result (compression, oneway, batch and stream flags) is compared through them."""

import threading
import uuid

recording = threading.local()


def _correlation(lib, raw):
    if not raw:
        return "none"
    ours = lib.context.correlation_id
    return "ours" if ours and uuid.UUID(bytes=bytes(raw)) == ours else "daemon's"


def _note(lib, direction, kind, flags, seq, serializer, annotations, correlation):
    session = getattr(recording, "session", None)
    if session is not None and session.frames is not None:
        session.frames.append("%s type=%d flags=%d seq=%d serializer=%d annotations=%s correlation=%s" % (
            direction, kind, flags, seq, serializer, ",".join(sorted(annotations)), _correlation(lib, correlation)))


def install(lib):
    """Hooks the library's message code; only sessions set in recording.session are recorded."""
    if lib.name == "pyro4":
        message = lib.message.Message
        to_bytes, recv = message.to_bytes, message.recv.__func__

        def recorded_to_bytes(self):
            _note(lib, ">", self.type, self.flags, self.seq, self.serializer_id, self.annotations, self.annotations.get("CORR"))
            return to_bytes(self)

        def recorded_recv(cls, *args, **kwargs):
            msg = recv(cls, *args, **kwargs)
            _note(lib, "<", msg.type, msg.flags, msg.seq, msg.serializer_id, msg.annotations, msg.annotations.get("CORR"))
            return msg

        message.to_bytes = recorded_to_bytes
        message.recv = classmethod(recorded_recv)
        return

    protocol = lib.message
    sending_init, add_payload = protocol.SendingMessage.__init__, protocol.ReceivingMessage.add_payload

    def recorded_init(self, msgtype, flags, seq, serializer_id, payload, annotations=None):
        sending_init(self, msgtype, flags, seq, serializer_id, payload, annotations)
        corr = self.corr_id if self.flags & protocol.FLAGS_CORR_ID else None
        _note(lib, ">", msgtype, self.flags, seq, serializer_id, annotations or (), corr)

    def recorded_payload(self, payload):
        flags = self.flags  # decompressing clears one of them
        add_payload(self, payload)
        corr = self.corr_id if flags & protocol.FLAGS_CORR_ID else None
        _note(lib, "<", self.type, flags, self.seq, self.serializer_id, self.annotations, corr)

    protocol.SendingMessage.__init__ = recorded_init
    protocol.ReceivingMessage.add_payload = recorded_payload
