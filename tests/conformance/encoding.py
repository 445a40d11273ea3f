"""Canonical CBOR (proto/README.md 1) and as much of CDDL (RFC 8610) as the files of proto/ use."""

import re
import unicodedata
from pathlib import Path

import cbor2

PROTO = Path(__file__).resolve().parents[2] / "proto"
MAX_UINT = 2**53 - 1
# Longest encodings of what is bounded by itself, from the comments in the schema.
MAX_BYTES = {
    "genesis": 32_768, "genesis-reply": 32_768, "transaction": 61_440, "header": 256, "block": 4_194_304,
    "transaction-batch": 65_536, "compact-block": 327_680, "mining-state": 512, "finality-gossip": 65_536,
    "sync-request": 327_680, "sync-reply": 4_195_328, "submit-request": 73_728, "submit-reply": 524_288,
    "receipt": 2_097_152, "export-record": 4_194_320,
}


class Broken(Exception):
    """A rule is broken: its name, and for a transaction in a block its index and the rule of its own."""

    def __init__(self, rule, index=None, reason=None):
        super().__init__(rule, index, reason)
        self.rule, self.index, self.reason = rule, index, reason


def require(holds, rule):
    if not holds:
        raise Broken(rule)


class Schema:
    """As much of CDDL as the files of proto/ use: arrays, choices, ranges, sizes, occurrences."""

    TOKEN = re.compile(r"\d+\.\.\d+|\d+\*\d+|\d+|\.size|[a-z][\w-]*:?|[\[\](),/=]")

    def __init__(self):
        text = "\n".join(path.read_text() for path in sorted(PROTO.glob("*.cddl")))
        self.tokens = self.TOKEN.findall(re.sub(r";.*", "", text))
        self.rules = {"bstr": ("bytes", 0, None), "tstr": ("text", 0, None)}
        while self.tokens:
            name, equals = self.tokens.pop(0), self.tokens.pop(0)
            assert equals == "=", (name, equals)
            self.rules[name] = self.choice()

    def choice(self):
        options = [self.type()]
        while self.tokens[:1] == ["/"]:
            self.tokens.pop(0)
            options.append(self.type())
        return options[0] if len(options) == 1 else ("choice", options)

    def type(self):
        token = self.tokens.pop(0)
        if token == "[":
            items = []
            while self.tokens[0] != "]":
                low, high = 1, 1
                if "*" in self.tokens[0]:
                    low, high = map(int, self.tokens.pop(0).split("*"))
                if self.tokens[0].endswith(":"):
                    self.tokens.pop(0)
                items.append((low, high, self.choice()))
                if self.tokens[0] == ",":
                    self.tokens.pop(0)
            self.tokens.pop(0)
            return ("array", items)
        if token[0].isdigit():
            low, _, high = token.partition("..")
            return ("int", int(low), int(high or low))
        if self.tokens[:1] == [".size"]:
            self.tokens.pop(0)
            size = self.tokens.pop(0)
            if size == "(":
                size = self.tokens.pop(0)
                self.tokens.pop(0)
            low, _, high = size.partition("..")
            return ("bytes" if token == "bstr" else "text", int(low), int(high or low))
        return ("rule", token)

    def matches(self, value, rule):
        kind = rule[0]
        if kind == "rule":
            return self.matches(value, self.rules[rule[1]])
        if kind == "choice":
            return any(self.matches(value, option) for option in rule[1])
        if kind == "int":
            return type(value) is int and rule[1] <= value <= rule[2]
        if kind == "bytes":
            return type(value) is bytes and rule[1] <= len(value) <= rule[2]
        if kind == "text":
            return type(value) is str and rule[1] <= len(value.encode()) <= rule[2] and is_plain(value)
        if type(value) is not list:
            return False
        if len(rule[1]) == 1 and rule[1][0][:2] != (1, 1):
            low, high, item = rule[1][0]
            return low <= len(value) <= high and all(self.matches(element, item) for element in value)
        return len(value) == len(rule[1]) and all(self.matches(v, item[2]) for v, item in zip(value, rule[1]))


def is_plain(text):
    banned = {0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    ok = all(unicodedata.category(c) != "Cc" and ord(c) not in banned for c in text)
    return ok and unicodedata.is_normalized("NFC", text)


SCHEMA = Schema()


def in_profile(value, depth=0):
    if type(value) is list:
        return depth < 16 and all(in_profile(item, depth + 1) for item in value)
    return type(value) in (bytes, str) or (type(value) is int and 0 <= value <= MAX_UINT)


def encode(value):
    return cbor2.dumps(value)


def decode(data, rule, broken="not_canonical"):
    """The value of canonical bytes that satisfy a rule of the schema."""
    require(len(data) <= MAX_BYTES[rule], "too_large" if broken == "not_canonical" else broken)
    try:
        value = cbor2.loads(data)
        canonical = in_profile(value) and encode(value) == data
    except Exception:  # whatever cbor2 makes of garbage, it is refused
        canonical = False
    require(canonical and SCHEMA.matches(value, ("rule", rule)), broken)
    return value
