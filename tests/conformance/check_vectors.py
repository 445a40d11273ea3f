"""Every verdict in proto/vectors, reached again from what proto/ says."""

import json

import cbor2

import checker
import curves
from checker import Broken, Chain, Genesis, audit, audit_path, digest, merkle_root
from encoding import MAX_BYTES, decode, encode

BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
PREFIXES = {
    "voter", "invite", "organisersecret", "finalisersecret", "trusteesecret", "minersecret", "organiserpub",
    "finaliserpub", "trusteepub", "minerpub",
}


def bech32m(text):
    """(prefix, 32 bytes) of a code, or None (BIP 350)."""
    if text not in (text.lower(), text.upper()) or len(text) > 90:
        return None
    prefix, separator, data = text.lower().rpartition("1")
    if not separator or prefix not in PREFIXES or any(c not in BECH32 for c in data):
        return None
    values = [BECH32.index(c) for c in data]
    checksum = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values:
        top, checksum = checksum >> 25, (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> bit & 1 else 0
    number = sum(value << 5 * place for place, value in enumerate(reversed(values[:-6])))
    sound = checksum == 0x2BC830A3 and len(values) == 58 and number & 15 == 0
    return (prefix, (number >> 4).to_bytes(32, "big")) if sound else None


def diagnostic(value):
    """The notation of RFC 8949 8, for the profile."""
    if type(value) is bytes:
        return f"h'{value.hex()}'"
    if type(value) is list:
        return "[" + ", ".join(map(diagnostic, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def verdict(check, *arguments):
    """"valid", or the rule that is broken."""
    try:
        check(*arguments)
    except Broken as broken:
        return broken.rule
    return "valid"


def messages(file):
    for vector in file["vectors"]:
        data = bytes.fromhex(vector["hex"])
        value = decode(data, vector["rule"])
        yield vector, vector["max_bytes"] == MAX_BYTES[vector["rule"]]
        yield vector, diagnostic(value) == vector["diagnostic"]
        hashes = dict(vector["hashes"])
        if tag := hashes.pop("network tag", None):
            yield vector, hashes["network id"].startswith(tag) and len(tag) == 8
        for name, expected in hashes.items():
            body = encode(value[1][1]) if name == "election id" else data
            yield vector, digest(name, body).hex() == expected
        for end in range(0, len(data), 7):
            yield vector, verdict(decode, data[:end], vector["rule"]) == "not_canonical"


def encodings(file):
    for vector in file["vectors"]:
        yield vector, verdict(decode, bytes.fromhex(vector["hex"]), vector["rule"]) != "valid"


def hashes(file):
    for vector in file["contexts"]:
        name = vector["context"].removeprefix("votenode 2026-11 v1 ")
        yield vector, digest(name, bytes.fromhex(vector["input"]), 64).hex() == vector["xof64"]
    for tree in file["trees"]:
        name, leaves = tree["context"].removeprefix("votenode 2026-11 v1 "), [bytes.fromhex(x) for x in tree["leaves"]]
        yield tree, merkle_root(name, leaves).hex() == tree["root"]
        for index, path in enumerate(tree["paths"]):
            yield tree, [node.hex() for node in audit_path(name, leaves, index)] == path
    for stamp in file["stamps"]:
        name, payload = stamp["context"].removeprefix("votenode 2026-11 v1 "), bytes.fromhex(stamp["payload"])
        yield stamp, checker.stamp_holds(name, payload, stamp["stamp"], stamp["bits"]) == stamp["valid"]


def keys(file):
    for voter in file["voters"]:
        secret = bytes.fromhex(voter["voter_id"])
        seed, wide = digest("voter key", secret), digest("ring secret", secret, 64)
        scalar = int.from_bytes(wide, "little") % curves.ORDER
        yield voter, bech32m(voter["code"]) == ("voter", secret)
        yield voter, seed.hex() == voter["voter_seed"] and curves.public_key(seed).hex() == voter["voter_key"]
        yield voter, scalar.to_bytes(32, "little").hex() == voter["ring_secret"]
        ring_key = curves.ristretto_decode(bytes.fromhex(voter["ring_key"]))
        yield voter, curves.ristretto_equal(ring_key, curves.multiply(scalar, curves.BASE))
    for code in file["codes"]:
        expected = (code["prefix"], bytes.fromhex(code["hex"]))
        yield code, bech32m(code["code"]) == expected == bech32m(code["code"].upper())
    for code in file["bad_codes"]:
        yield code, bech32m(code["code"]) is None


def signatures(file):
    for vector in file["vectors"]:
        key, message, signature = (bytes.fromhex(vector[name]) for name in ("key", "digest", "signature"))
        flaw = curves.key_flaw(key)
        yield vector, curves.verify_zip215(key, message, signature) == vector["valid"]
        yield vector, flaw == vector["key_flaw"]
        yield vector, (not flaw and curves.is_torsion_free(key)) == vector["torsion_free"]


def ring_proofs(file):
    for vector in file["vectors"]:
        names = ("network", "voter", "ring_key", "ring_proof")
        network, voter, ring_key, proof = (bytes.fromhex(vector[name]) for name in names)
        yield vector, checker.ring_proof_holds(network, voter, ring_key, proof) == vector["valid"]
        yield vector, checker.ring_key_flaw(ring_key) == vector["key_flaw"]


def transactions(file):
    for network in file["networks"]:
        genesis = Genesis(decode(bytes.fromhex(network["genesis"]), "genesis"))

        def check(data):
            checker.check_transaction(genesis, decode(data, "transaction"))

        for vector in network["vectors"]:
            data = bytes.fromhex(vector["hex"]) if "hex" in vector else bytes(vector["zeros"])
            yield vector, verdict(check, data) == vector["verdict"]


def chains(file):
    for vector in file["vectors"]:
        try:
            audit(bytes.fromhex(vector["hex"]))
            yield vector, False
        except Broken as broken:
            found = (broken.rule, broken.index, broken.reason)
            yield vector, found == (vector["rule"], vector["index"], vector["reason"])


FILES = {
    "messages.json": messages, "encoding.json": encodings, "hashes.json": hashes, "keys.json": keys,
    "signatures.json": signatures, "ring_proofs.json": ring_proofs, "transactions.json": transactions,
    "chains.json": chains,
}


def run(directory):
    """Checks every file and prints a JSON report; 0 if this program agrees with all of it."""
    unknown = {path.name for path in directory.glob("*.json")} - FILES.keys() - {"chain.json", "finality.json"}
    checks, disagreements = {}, [f"{name}: nothing here knows this file" for name in sorted(unknown)]
    for name, check in FILES.items():
        try:
            results = list(check(json.loads((directory / name).read_text())))
        except Exception as error:  # a vector that cannot even be read
            results = [({"name": repr(error)}, False)]
        checks[name] = len(results)
        wrong = [vector for vector, agrees in results if not agrees]
        disagreements += [f"{name}: {vector.get('name', json.dumps(vector)[:200])}" for vector in wrong]
        if not results:
            disagreements.append(f"{name}: no vectors")
    for name in ("chain", "finality"):
        report = audit((directory / f"{name}.votechain").read_bytes()).report()
        expected = json.loads((directory / f"{name}.json").read_text())
        checks[f"{name}.json"] = len(expected)
        disagreements += [f"{name}.json: {key}" for key in expected if report.get(key) != expected[key]]
    print(json.dumps({"ok": not disagreements, "checks": checks, "disagreements": disagreements}, indent=2))
    return 1 if disagreements else 0
