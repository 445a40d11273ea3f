#!/usr/bin/env python3
"""Audits an exported chain, knowing nothing but what the directory proto/ says.

    checker.py FILE                  audits the chain in FILE and prints what it found as JSON
    checker.py --vectors DIRECTORY   checks every verdict in proto/vectors against this program's own

Exit code 0: all is well. 1: a rule is broken. It needs Python 3.11 and the two packages of requirements.txt. curves.py
has the arithmetic of the signatures, encoding.py the schema, check_vectors.py the other mode.
"""

import json
import sys
from bisect import bisect_right
from collections import Counter
from pathlib import Path

from blake3 import blake3

import curves
from encoding import MAX_BYTES, MAX_UINT, Broken, decode, encode, require

MAGIC = b"votenode chain 1\n"


# --- Hashes, signatures, trees (README 2 to 6) ------------------------------------------------------------------------


def digest(name, data, length=32):
    return blake3(data, derive_key_context="votenode 2026-11 v1 " + name).digest(length)


def signed(network, name, key, payload, signature):
    return curves.verify_zip215(key, digest("sign " + name, network + encode(payload)), signature)


def ring_proof_holds(network, voter, ring_key, proof):
    statement = network + voter + ring_key + proof[:32]
    challenge = int.from_bytes(digest("ring key proof challenge", statement, 64), "little") % curves.ORDER
    return curves.verify_schnorr(ring_key, challenge, proof)


def ring_key_flaw(key):
    return "not_canonical" if curves.ristretto_decode(key) is None else None if any(key) else "identity"


def stamp_holds(name, payload, stamp, bits):
    return int.from_bytes(digest(name, payload + stamp.to_bytes(8, "big")), "big") >> (256 - bits) == 0


def merkle_root(name, leaves):
    if not leaves:
        return digest(name, b"")
    if len(leaves) == 1:
        return digest(name, b"\0" + leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return digest(name, b"\1" + merkle_root(name, leaves[:split]) + merkle_root(name, leaves[split:]))


def audit_path(name, leaves, index):
    if len(leaves) < 2:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return audit_path(name, leaves[:split], index) + [merkle_root(name, leaves[split:])]
    return audit_path(name, leaves[split:], index - split) + [merkle_root(name, leaves[:split])]


# --- Genesis (README 7) -----------------------------------------------------------------------------------------------


class Genesis:
    def __init__(self, value):
        (version, self.name, self.timestamp, self.block_time, self.target, self.grace, self.confirmations, self.max_bytes,
         self.max_transactions, admission, vote_bits, self.elections_by, organisers, finalisers) = value
        self.id = digest("network id", encode(value))
        self.stamp_bits = admission[1] if admission[0] else None
        self.organisers = {key: permissions for key, permissions, _ in organisers}
        self.finalisers = finalisers
        require(
            version == 1 and 100 <= self.block_time <= 3_600_000 and any(self.target) and self.grace <= 86_400_000
            and 1 <= self.confirmations <= 1000 and 65_536 <= self.max_bytes <= 4_194_304
            and 1 <= self.max_transactions <= 8192 and (self.stamp_bits or 0) <= 32 and vote_bits <= 32
            and self.elections_by <= 1 and all(1 <= p <= 3 for p in self.organisers.values())
            and len(self.organisers) == len(organisers) and not any(map(curves.key_flaw, self.organisers))
            and is_set(finalisers), "genesis")

    def header(self):
        return [1, self.id, 0, bytes(32), merkle_root("transaction tree", []), 0, merkle_root("roll tree", []),
                self.timestamp, bytes(32), bytes(8)]


def is_set(finalisers):
    """Whether these can be a set of finalisers."""
    power = [power for _, power, _ in finalisers]
    return (len({key for key, *_ in finalisers}) == len(finalisers)
            and all(not curves.key_flaw(key) and curves.is_torsion_free(key) for key, *_ in finalisers)
            and all(1 <= p <= 10**9 for p in power) and sum(power) <= 64 * 10**9)


# --- Transactions by themselves (README 8) ----------------------------------------------------------------------------


def check_transaction(genesis, transaction):
    """The rules that need no state, in the order that decides which is named."""
    tag, (kind, *body) = transaction
    require(tag == genesis.id[:4], "wrong_network")
    require(kind != 5, "unsupported")
    [check_registration, check_batch, check_revoke, check_election, check_vote, None, check_change,
     check_evidence][kind](genesis, body[0])


def check_registration(genesis, registration):
    voter, ring_key, proof, admission, signature = registration
    if admission[0] == 0:
        require(genesis.stamp_bits is not None, "open_admission_forbidden")
        stamped = encode([voter, ring_key, proof, signature])
        require(stamp_holds("registration stamp", stamped, admission[1], genesis.stamp_bits), "bad_stamp")
    require(not curves.key_flaw(voter), "bad_key")
    require(not ring_key_flaw(ring_key), "bad_ring_key")
    payload = [voter, ring_key, proof, [0] if admission[0] == 0 else admission]
    require(signed(genesis.id, "registration", voter, payload, signature), "bad_signature")
    if admission[0] == 1:
        fits = signed(genesis.id, "invitation use", admission[1], [voter, ring_key], admission[2])
        require(fits, "bad_invitation_signature")
    require(ring_proof_holds(genesis.id, voter, ring_key, proof), "bad_ring_proof")


def check_batch(genesis, batch):
    group, keys, organiser, signature = batch
    require(genesis.organisers.get(organiser, 0) & 1, "not_permitted")
    require(group != "open", "reserved_group")
    require(len(set(keys)) == len(keys), "duplicate_key")
    require(not any(map(curves.key_flaw, keys)), "bad_key")
    require(signed(genesis.id, "invitation batch", organiser, [group, keys, organiser], signature), "bad_signature")


def check_revoke(genesis, revoke):
    keys, organiser, signature = revoke
    require(genesis.organisers.get(organiser, 0) & 1, "not_permitted")
    require(len(set(keys)) == len(keys), "duplicate_key")
    require(signed(genesis.id, "invitation revoke", organiser, [keys, organiser], signature), "bad_signature")


def check_election(genesis, election):
    terms, secrecy, organiser, signature = election
    (_, _, options, method, seats, score, opens, closes, roll_closes, reveal, min_ring, groups, privacy) = terms
    require(not genesis.elections_by or genesis.organisers.get(organiser, 0) & 2, "not_permitted")
    anonymous, sealed = privacy == 1, secrecy[0] == 1
    well_formed = (
        len(set(options)) == len(options) and method <= 5 and privacy <= 1 and 1 <= seats < len(options)
        and (score > 0) == (method == 2) and opens < closes <= MAX_UINT - 86_400_000
        and roll_closes <= (opens if anonymous else closes)
        and (reveal > closes + genesis.grace if sealed else reveal == 0)
        and (2 <= min_ring <= 4096 if anonymous else min_ring == 0)
        and all(a.encode() < b.encode() for a, b in zip(groups, groups[1:])))
    if sealed:
        _, threshold, trustees = secrecy
        well_formed &= min(2, len(trustees)) <= threshold <= len(trustees)
        well_formed &= len({key for key, _ in trustees}) == len(trustees)
    require(well_formed, "malformed_election")
    require(not sealed and not anonymous and method <= 1, "unsupported")
    require(not curves.key_flaw(organiser), "bad_key")
    require(signed(genesis.id, "election", organiser, [terms, secrecy, organiser], signature), "bad_signature")


def check_vote(genesis, vote):
    election, ballot, credential = vote
    require(ballot[0] == 0 and credential[0] == 0, "unsupported")
    require(signed(genesis.id, "vote", credential[1], [election, ballot], credential[2]), "bad_signature")


def is_sorted(signatures):
    return all(a < b for (a, _), (b, _) in zip(signatures, signatures[1:]))


def check_change(genesis, change):
    number, finalisers, approvals = change
    require(genesis.finalisers, "no_finalisers")
    require(1 <= number <= 64 and is_sorted(approvals) and is_set(finalisers), "malformed_change")
    fits = (signed(genesis.id, "finaliser change", key, [number, finalisers], sig) for key, sig in approvals)
    require(all(fits), "bad_signature")


def is_message(message):
    kind, checkpoint, round_, lock, value = message
    fits = len(value) == 32 and lock <= round_ if kind == 0 else len(value) in (0, 32) and lock == 0
    return kind <= 2 and checkpoint >= 1 and round_ <= 10_000 and fits


def check_evidence(genesis, evidence):
    finaliser, first, first_signature, second, second_signature = evidence
    require(genesis.finalisers, "no_finalisers")
    shows = is_message(first) and is_message(second) and first[:3] == second[:3] and encode(first) < encode(second)
    require(shows, "malformed_evidence")
    name = "finality proposal" if first[0] == 0 else "finality vote"
    fits = [signed(genesis.id, name, finaliser, *pair)
            for pair in ((first, first_signature), (second, second_signature))]
    require(all(fits), "bad_signature")


# --- The chain (README 8 to 11) ---------------------------------------------------------------------------------------


class Chain:
    """The state after the blocks so far. Every rule of a transaction in its place and of a block is in here."""

    def __init__(self, genesis):
        self.genesis, self.tip = genesis, genesis.header()
        self.roll, self.voters, self.invitations, self.batches, self.elections, self.times = [], {}, {}, [], {}, []
        # The sets with the heights of their changes; which is in force, and each set's first checkpoint; the heights of
        # the checkpoints; what each finaliser was convicted of, and where.
        self.sets, self.in_force, self.first = [(genesis.finalisers, 0)], 0, {0: 1}
        self.checkpoints, self.convictions = [], {}

    def tip_id(self):
        return digest("block id", encode(self.tip))

    def add_block(self, block):
        header, transactions = block
        version, network, height, parent, root, roll_size, roll_root, timestamp, _, _ = header
        genesis, before = self.genesis, self.tip
        require(version == 1, "version")
        require(network == genesis.id, "wrong_network")
        require(height == before[2] + 1, "height")
        require(parent == self.tip_id(), "parent")
        require(timestamp >= before[7] + genesis.block_time, "timestamp")
        require(before[5] <= roll_size <= before[5] + genesis.max_transactions, "roll")
        require(digest("block id", encode(header)) <= genesis.target, "work")
        for index, transaction in enumerate(transactions):
            self.at_index(index, lambda: require(len(encode(transaction)) <= MAX_BYTES["transaction"], "too_large"))
            self.at_index(index, lambda: check_transaction(genesis, transaction))
        require(len(transactions) <= genesis.max_transactions, "too_many_transactions")
        require(len(encode(block)) <= genesis.max_bytes, "too_large")
        ids = [digest("transaction id", encode(transaction)) for transaction in transactions]
        require(root == merkle_root("transaction tree", ids), "transaction_root")
        for index, (_, (kind, body)) in enumerate(transactions):
            apply = [self.register, self.issue, self.revoke, self.open, self.vote, None, self.change,
                     self.convict][kind]
            self.at_index(index, lambda: apply(body, timestamp, (height, index)))
        require(roll_size == len(self.roll) and roll_root == merkle_root("roll tree", self.roll), "roll")
        self.tip = header
        self.times.append(timestamp)

    @staticmethod
    def at_index(index, check):
        try:
            check()
        except Broken as broken:
            raise Broken("transaction", index, broken.rule) from None

    def register(self, registration, timestamp, _):
        voter, ring_key, _, admission, _ = registration
        require(voter not in self.voters, "already_registered")
        group = "open" if admission[0] == 0 else self.use(admission[1], "spent")
        self.voters[voter] = (group, timestamp)
        self.roll.append(encode([voter, ring_key, group]))

    def use(self, key, how):
        require(key in self.invitations, "invitation_unknown")
        batch = self.invitations[key]
        require(key not in batch["spent"], "invitation_spent")
        require(key not in batch["revoked"], "invitation_revoked")
        batch[how].add(key)
        return batch["group"]

    def issue(self, batch, _, place):
        group, keys, _, _ = batch
        require(not any(key in self.invitations for key in keys), "invitation_exists")
        entry = {"group": group, "place": place, "issued": len(keys), "spent": set(), "revoked": set()}
        self.batches.append(entry)
        self.invitations.update((key, entry) for key in keys)

    def revoke(self, revoke, _, __):
        for key in revoke[0]:
            self.use(key, "revoked")

    def open(self, election, timestamp, _):
        identity = digest("election id", encode(election))
        require(identity not in self.elections, "election_exists")
        require(timestamp < election[0][7], "election_over")
        self.elections[identity] = (election[0], {})

    def vote(self, vote, timestamp, _):
        identity, (_, choices), (_, voter, _) = vote
        require(identity in self.elections, "unknown_election")
        terms, votes = self.elections[identity]
        limit = 1 if terms[3] == 0 else 64
        ascending = all(a < b for a, b in zip(choices, choices[1:]))
        require(len(choices) <= limit and ascending and all(c < len(terms[2]) for c in choices), "wrong_ballot")
        require(timestamp >= terms[6], "too_early")
        require(timestamp < terms[7] + self.genesis.grace, "too_late")
        require(voter in self.voters, "not_registered")
        group, registered = self.voters[voter]
        require(registered < terms[8], "registered_too_late")
        require(group in terms[11], "not_eligible")
        require(voter not in votes, "already_voted")
        votes[voter] = choices

    def change(self, change, _, place):
        number, finalisers, approvals = change
        require(number >= len(self.sets), "set_exists")
        require(number == len(self.sets), "set_too_early")
        require(decides(self.sets[-1][0], approvals), "not_approved")
        self.sets.append((finalisers, place[0]))

    def convict(self, evidence, _, place):
        finaliser, first = evidence[:2]
        require(any(finaliser == key for members, _ in self.sets for key, *_ in members), "not_a_finaliser")
        require(finaliser not in self.convictions, "already_convicted")
        self.convictions[finaliser] = (*first[:3], *place)

    def certify(self, certificate):
        """Takes the certificate of the last block (README 18)."""
        number, checkpoint, round_, block, precommits = certificate
        require(self.genesis.finalisers and block == self.tip_id(), "file")
        message = [2, checkpoint, round_, 0, block]
        require(
            checkpoint == len(self.checkpoints) + 1 and number == self.in_force and is_sorted(precommits)
            and decides(self.sets[number][0], precommits)
            and all(signed(self.genesis.id, "finality vote", key, message, sig) for key, sig in precommits),
            "certificate")
        self.checkpoints.append(self.tip[2])
        self.in_force = len(self.sets) - 1
        self.first.setdefault(self.in_force, checkpoint + 1)

    def finality(self):
        if not self.genesis.finalisers:
            return None
        kinds = ["proposal", "prevote", "precommit"]
        return {
            "sets": [
                {"set": number, "height": height, "first_checkpoint": self.first.get(number), "finalisers": [
                    {"name": name, "key": key.hex(), "power": power} for key, power, name in members]}
                for number, (members, height) in enumerate(self.sets)],
            "checkpoints": len(self.checkpoints),
            "last_height": self.checkpoints[-1] if self.checkpoints else None,
            "convictions": [
                {"finaliser": key.hex(), "message": kinds[kind], "checkpoint": checkpoint, "round": round_,
                 "height": height, "index": index}
                for key, (kind, checkpoint, round_, height, index) in self.convictions.items()],
        }

    def report(self):
        groups = Counter(group for group, _ in self.voters.values())
        return {
            "network": self.genesis.id.hex(),
            "height": self.tip[2],
            "tip": self.tip_id().hex(),
            "registrations": len(self.roll),
            "groups": dict(sorted(groups.items())),
            "invitations": [
                {"group": batch["group"], "height": batch["place"][0], "index": batch["place"][1],
                 "issued": batch["issued"], "used": len(batch["spent"]), "revoked": len(batch["revoked"])}
                for batch in self.batches],
            "elections": [self.result(identity, *record) for identity, record in self.elections.items()],
            "finality": self.finality(),
        }

    def result(self, identity, terms, votes):
        now, closing = self.tip[7], terms[7] + self.genesis.grace
        closed = bisect_right(self.times, closing - 1)  # index of the closing block, the first at or after that time
        checkpoint = bisect_right(self.checkpoints, closed)  # the first at or above the closing block, if there is one
        final = checkpoint < len(self.checkpoints)
        phase = ("final" if final else "provisional" if now >= closing else "closing" if now >= terms[7] else
                 "open" if now >= terms[6] else "scheduled")
        totals = [sum(option in choices for choices in votes.values()) for option in range(len(terms[2]))]
        lot = [digest("tie break", identity + bytes([option])) for option in range(len(totals))]
        ranking = sorted((o for o, total in enumerate(totals) if total), key=lambda o: (-totals[o], lot[o]))
        eligible = sum(group in terms[11] and time < terms[8] for group, time in self.voters.values())
        return {
            "election": identity.hex(), "title": terms[0], "phase": phase,
            "closing_height": closed + 1 if closed < len(self.times) else None,
            "final_by_checkpoint": checkpoint + 1 if final else None, "eligible": eligible,
            "votes": len(votes), "blank": sum(not choices for choices in votes.values()),
            "totals": totals, "winners": ranking[:terms[4]],
        }


def decides(members, signatures):
    """Whether these are signatures, valid or not, of members with more than two thirds of the power."""
    power = {key: power for key, power, _ in members}
    return (all(key in power for key, _ in signatures)
            and 3 * sum(power[key] for key, _ in signatures) > 2 * sum(power.values()))


# --- The exported file (README 15) ------------------------------------------------------------------------------------


def audit(data):
    """The chain of an exported file; `Broken` if any rule is."""
    require(data.startswith(MAGIC), "file")
    at, chain, before = len(MAGIC), None, None
    while True:
        length = int.from_bytes(data[at:at + 4], "big")
        require(at + 4 + length <= len(data) and length <= MAX_BYTES["export-record"], "file")
        kind, *body = decode(data[at + 4:at + 4 + length], "export-record", "file")
        at += 4 + length
        require((kind == 0) == (chain is None), "file")
        if kind == 0:
            chain = Chain(Genesis(decode(encode(body[0]), "genesis", "genesis")))
        elif kind == 1:
            header = body[0][0]
            require((header[2], header[3]) == (chain.tip[2] + 1, chain.tip_id()), "file")
            chain.add_block(body[0])
        elif kind == 2:
            require(before == 1, "file")
            chain.certify(body[0])
        else:
            require(kind == 3 and at == len(data) and body == [chain.tip_id(), chain.tip[2]], "file")
            return chain
        before = kind


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--vectors":
        import check_vectors
        return check_vectors.run(Path(sys.argv[2]))
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        report = {"ok": True, "broken": None, **audit(Path(sys.argv[1]).read_bytes()).report()}
    except Broken as broken:
        report = {"ok": False, "broken": {"rule": broken.rule, "index": broken.index, "reason": broken.reason}}
    print(json.dumps(report, indent=2))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
