"""Results in a form that can be compared: what a caller sees, without what must differ.

Addresses, ports, object addresses and the run's token become fixed words; everything else
stays, types included (a tuple that became a list is a difference between serializers).
"""

import datetime
import decimal
import hashlib
import re
import uuid

ADDRESS = re.compile(
    r"\('(?:127\.0\.0\.1|localhost|::1)', \d+(?:, \d+, \d+)?\)"
    r"|(?:127\.0\.0\.1|localhost|\[::1\]):\d+"
    r"|\./u:[^\s'\",>]+|(?:/[\w.-]+)+\.sock"
)
HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")
# What a daemon says about its own load depends on connections that are just being closed.
LOAD = re.compile(r"\d+ (workers|connections)")


class Normalizer:
    def __init__(self, run):
        self.run = run

    def text(self, text):
        if len(text) > 150_000:  # a payload, not a message that could name an address
            return {"text": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
        text = ADDRESS.sub("<address>", text.replace(self.run, "<run>"))
        text = LOAD.sub(r"<n> \1", HEX_ADDRESS.sub("<0x>", text))
        if len(text) > 400:
            return {"text": len(text), "starts": text[:80], "sha256": hashlib.sha256(text.encode()).hexdigest()}
        return text

    def value(self, v):
        """Returns v as something JSON can carry."""
        if v is None or isinstance(v, (bool, int)):
            # A large integer is text: JSON readers turn it into a float.
            return v if not isinstance(v, int) or abs(v) < 1 << 53 else {"int": str(v)}
        if isinstance(v, float):
            return {"float": repr(v)}
        if isinstance(v, str):
            return self.text(v)
        if isinstance(v, (bytes, bytearray, memoryview)):
            raw = bytes(v)
            if len(raw) <= 64:
                return {type(v).__name__: raw.hex()}
            return {type(v).__name__: len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
        if isinstance(v, list):
            return [self.value(item) for item in v]
        if isinstance(v, tuple):
            return {"tuple": [self.value(item) for item in v]}
        if isinstance(v, (set, frozenset)):
            return {"set": sorted(repr(item) for item in v)}
        if isinstance(v, dict):
            if all(isinstance(k, str) for k in v):
                return {self.run_free(k): self.value(item) for k, item in v.items()}
            return {"dict": sorted([repr(k), self.value(item)] for k, item in v.items())}
        if isinstance(v, BaseException):
            return self.exception(v)
        if isinstance(v, (uuid.UUID, datetime.date, datetime.timedelta, decimal.Decimal, complex)):
            return {type(v).__name__: str(v)}
        if type(v).__module__ == "numpy":
            return {"numpy": str(v.dtype), "shape": list(v.shape), "values": self.value(v.tolist())}
        return {"object": self.text(repr(v))}

    def run_free(self, key):
        return key.replace(self.run, "<run>")

    def exception(self, x):
        """An exception as its handler sees it. Whether a broken connection shows as an end of
        file, a reset or a broken pipe is a race even without anything in between, so the text
        of ConnectionClosedError does not count."""
        result = {"exception": type(x).__module__ + "." + type(x).__qualname__}
        if type(x).__name__ != "ConnectionClosedError":
            result["message"] = self.text(str(x))
        traceback = getattr(x, "_pyroTraceback", None)
        if traceback:
            result["remote traceback"] = [self.text(line) for line in traceback]
        return result
