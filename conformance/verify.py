#!/usr/bin/env python3
"""Verify a Marque journal without Marque. The format is in FORMAT.md; this shares no code with the product.
Exit 0 and "OK n records", 8 where no remembered checkpoint covers the end, 7 and a line for each finding. Needs `cryptography`."""
import argparse, base64, hashlib, json, pathlib, re, struct, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
class Bad(Exception): pass
def need(condition, why):
    if not condition:
        raise Bad(why)
sha = lambda data: hashlib.sha256(data).digest()
CRC = list(range(256))
for _ in range(8):
    CRC = [n >> 1 ^ (0x82F63B78 if n & 1 else 0) for n in CRC]
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
def verify_signature(key, message, signature, why):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Bad(why)
b64url = lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")
def unb64(text, url=False):  # strict: one spelling each, with padding in the standard alphabet, without in URL's
    data = base64.b64decode(text + "=" * (-len(text) % 4) if url else text, b"-_" if url else None, validate=True)
    need((b64url(data) if url else base64.b64encode(data).decode()) == text, "base64 in a second spelling")
    return data
# Deterministic CBOR. A map becomes a dict whose keys are the encoded keys.
def head(b, i):
    need(i < len(b), "cut CBOR")
    major, low, i = b[i] >> 5, b[i] & 31, i + 1
    if low < 24:
        return major, low, i
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(low)
    need(size and i + size <= len(b), "CBOR: cut, reserved or indefinite length")
    value = int.from_bytes(b[i:i + size], "big")
    need(major < 7 and value >= (24 if size == 1 else 1 << 4 * size), "CBOR: not the shortest form")
    return major, value, i + size
def cbor(b, i, depth):
    start, (major, n, i) = i, head(b, i)
    if major < 2:
        return (-1 - n if major else n), i
    if major < 4:
        need(i + n <= len(b), "cut CBOR string")
        return (b[i:i + n] if major == 2 else b[i:i + n].decode("utf-8")), i + n
    if major == 7:
        need(b[start] in (0xF4, 0xF5, 0xF6), "CBOR: simple value")
        return {20: False, 21: True, 22: None}[n], i
    need(major < 6 and depth > 0, "CBOR: tag or too deep")
    items, last = ([] if major == 4 else {}), b""
    for _ in range(n):
        if major == 5:
            start, (_, i) = i, cbor(b, i, 0)
            key, last = b[start:i], b[start:i] if b[start:i] > last else None
            need(last is not None, "CBOR: map keys do not ascend")
        value, i = cbor(b, i, depth - 1)
        items.append(value) if major == 4 else items.__setitem__(key, value)
    return items, i
uint_keys = lambda value: {head(k, 0)[1]: v for k, v in value.items() if k[0] >> 5 == 0 or need(False, "a map key is no unsigned integer")}
# Records
uint = lambda v: type(v) is int and v >= 0
exact = lambda n: lambda v: isinstance(v, bytes) and len(v) == n
some = lambda kind, most: lambda v: isinstance(v, kind) and 0 < len(v.encode() if kind is str else v) <= most
CHECK = {0: lambda v: uint(v) and v == 1, 1: uint, 2: uint, 3: lambda v: isinstance(v, str) and re.fullmatch("[a-z0-9._-]{1,48}", v), 4: exact(10),
         5: some(str, 128), 6: some(list, 8), 7: uint, 8: exact(32), 9: exact(32), 10: exact(32), 11: exact(10),
         12: lambda v: uint(v) and v > 0, 13: some(dict, 16), 14: lambda v: uint(v) and 1 <= v <= 3, 15: some(dict, 65535)}
def record(raw):
    major, count, i = head(raw, 0)
    need(len(raw) <= 65535 and major == 5, "too long, or not a map")
    r, order = {}, []
    for _ in range(count):
        major, key, i = head(raw, i)
        need(major == 0 and (not r or key > max(r)), "fields out of order")
        r[key], i = cbor(raw, i, 8)
    need(i == len(raw), "bytes after the record")
    need({0, 1, 2, 3} <= set(r) and all(k in CHECK and CHECK[k](v) for k, v in r.items()), "a field is missing, unknown, empty or out of bounds")
    for kind, key, n, prev in r.get(6, []):
        need(uint(kind) and 1 <= kind <= 5 and some(bytes, 32)(key) and uint(n), "bad backlink")
        need(prev is None and n == 0 or uint(prev) and n > 0 and prev < r[1], "a backlink contradicts itself")
        order.append((kind, key))
    need(order == sorted(set(order)) and r.get(7, -1) < r[1], "backlinks out of order, or the cause does not lie before the record")
    r[13], r[15] = uint_keys(r.get(13, {})), uint_keys(r.get(15, {}))
    need(all(exact(32)(v) for v in r[13].values()), "a commitment is not 32 bytes")
    return r
# Segments: yields (frame kind, payload, instance, None), and last (None, None, instance, hash the next segment names)
def frames(data, name, number, instance, tip, seq, root_at):
    need(len(data) >= 128 and data[:8] == b"MARQUEJ1", "no segment header")
    version, num, first, inst, root, size, previous = struct.unpack(">IIQ16s32sQ32s", data[8:112])
    need(crc32c(data[:124]) == int.from_bytes(data[124:128], "big") and not any(data[112:124]), "segment header checksum")
    need(version == 1 and num == number and instance in (None, inst), "segment version, number or instance")
    need(first == size == seq and previous == tip, "the segment does not follow from the one before")
    root_at(size, root, name)
    tip, i, end = sha(data[:128]), 128, len(data.rstrip(b"\0"))
    while i < end:
        h = data[i:i + 56]
        need(len(h) == 56 and h[:4] == b"MQB1" and crc32c(h[:52]) == int.from_bytes(h[52:], "big"), "byte %d: no intact batch header" % i)
        count, first, size, named = struct.unpack(">IQI32s", h[4:52])
        need(named == tip and first == seq, "byte %d: the batch does not follow from the one before" % i)
        j, stop = i + 56, i + 56 + size
        need(0 < count <= 65536 and size <= 8 << 20 and stop <= len(data), "byte %d: batch bounds" % i)
        for _ in range(count):
            length, kind, crc = struct.unpack(">IBI", data[j:j + 9].ljust(9, b"\0"))
            payload, after = data[j + 9:j + 9 + length], j + 9 + length
            need(after <= stop and crc32c(data[j:j + 5] + payload) == crc, "byte %d: frame checksum" % j)
            need(kind in (0, 1), "byte %d: frame kind" % j)
            seq, j = seq + (kind == 0), after
            yield kind, payload, inst, None
        need(j == stop, "byte %d: the batch is longer than its frames" % j)
        tip, i = sha(h), stop
    yield None, None, inst, tip
# Checkpoints
def checkpoint(raw, vkey):
    if raw[:1] == b"\x85":  # a mark: the checkpoint that the authority remembered in its state directory
        raw = (cbor(raw, 0, 1)[0][4] or "").encode()
    raw = raw.split(b"\n\n", 1)[-1] if raw.startswith(b"c2sp.org/tlog-proof@v1\n") else raw  # a receipt carries one
    name, key_id, material = vkey.split("+", 2)
    material = unb64(material)
    need(len(material) == 33 and material[0] == 1 and sha(name.encode() + b"\n" + material)[:4].hex() == key_id, "log.vkey is not an Ed25519 key")
    text, _, signatures = raw.decode("utf-8").rpartition("\n\n")
    lines, signed = text.split("\n"), False
    need(signatures.endswith("\n") and len(lines) >= 3 and all(lines) and lines[0] == name, "not a checkpoint of this log")
    need(re.fullmatch(r"0|[1-9][0-9]*", lines[1], re.A) and len(unb64(lines[2])) == 32, "checkpoint size or root")
    for line in signatures[:-1].split("\n"):
        match = re.fullmatch("\u2014 ([^\\s+]+) ([A-Za-z0-9+/=]+)", line)
        need(match, "bad signature line")
        blob = unb64(match.group(2))
        if match.group(1) == name and blob[:4].hex() == key_id:
            verify_signature(material[1:], (text + "\n").encode(), blob[4:], "the log's signature on the checkpoint is wrong")
            signed = True
    need(signed, "the checkpoint is not signed by the log")
    return int(lines[1]), unb64(lines[2])
# Chain links
CLAIMS = set("iss jti iat exp cnf del_depth del_max_depth par_hash authorization_details limits agent policy aud status session human_proof".split())
members = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else need(False, "link: a JSON member occurs twice")
def jws(compact, key):
    signed, _, signature = compact.rpartition(".")
    verify_signature(key, signed.encode(), unb64(signature, True), "link: wrong signature")
    refuse = lambda _: need(False, "link: JSON number")
    header, link = (json.loads(unb64(p, True).decode(), object_pairs_hook=members, parse_float=refuse, parse_constant=refuse) for p in signed.split("."))
    need(header in ({"alg": a, "typ": "agent-link+jwt"} for a in ("EdDSA", "Ed25519")) and set(link) <= CLAIMS, "link: header, or unknown claim")
    x = link["cnf"]["jwk"]["x"]
    need(link["cnf"]["jwk"] == {"kty": "OKP", "crv": "Ed25519", "x": x} and len(unb64(x, True)) == 32, "link: cnf")
    thumbprint = b64url(sha(('{"crv":"Ed25519","kty":"OKP","x":"%s"}' % x).encode()))
    return dict(link, key=unb64(x, True), name="urn:ietf:params:oauth:jwk-thumbprint:sha-256:" + thumbprint, hash=b64url(sha(signed.encode())), line=[])
def pattern_covers(a, b, field):  # segments with the separator before each; an action's last `*` is a `**`; a path's `**` may stand for nothing
    a, b = (re.split({"paths": "(/)", "resources": "([/@])", "actions": "([.])"}[field], t + "*" * (field == "actions" and t.endswith("*"))) for t in (a, b))
    a, b = (list(zip([""] + p[1::2], p[::2])) for p in (a, b))
    for i, (separator, mine) in enumerate(a):
        if mine == "**" and field == "paths":
            return True
        if i >= len(b) or b[i][0] != separator:
            return False
        if mine == "**":
            return all(s != "@" for s, _ in b[i + 1:])
        if b[i][1] != mine and (mine != "*" or b[i][1] in ("", "**") or field == "paths" and re.search("%2F|%5C|%25", b[i][1])):
            return False
    return len(a) == len(b)
def limits_cover(p, c):
    rate = "rate" not in p or "rate" not in c or -(-p["rate"]["per_s"] // c["rate"]["per_s"]) * c["rate"]["uses"] <= p["rate"]["uses"]
    return rate and all(c[k] <= p[k] for k in ("uses", "bytes", "until_s", "rows") if k in p and k in c)
def grant_covers(p, c):
    each = lambda field: all(any(pattern_covers(a, b, field) for a in p[field]) for b in c[field])
    if any(p.get(k) != c.get(k) for k in ("type", "environment", "service")) or not limits_cover(p.get("limits", {}), c.get("limits", {})):
        return False
    if p["type"] == "http":
        methods = p["actions"] == ["*"] or set(c["actions"]) <= set(p["actions"])
        return methods and set(c["locations"]) <= set(p["locations"]) and each("paths")
    return p["type"] == "service" and each("actions") and each("resources")
def inherit(mine, parent):
    return dict(mine, limits={**parent.get("limits", {}), **mine.get("limits", {})})
def below(link, parent, root):  # the link with inherited limits and its ancestors, if it is contained in its parent
    line, grants = [parent] + parent["line"], link["authorization_details"]
    need(link["iss"] == parent["name"], "link: iss is not the signer's thumbprint")
    need(link["del_depth"] == parent["del_depth"] + 1 <= parent["del_max_depth"] >= link["del_max_depth"], "link: depth")
    need(parent["iat"] <= link["iat"] < link["exp"] <= parent["exp"], "link: outlives or precedes its parent")
    need(not {"session", "status", "human_proof"} & set(link) and set(link["aud"]) <= set(parent["aud"]), "link: session or audience")
    need(link["key"] not in [root] + [a["key"] for a in line] and link["jti"] not in [a["jti"] for a in line], "link: a key or jti occurs twice")
    need(limits_cover(parent.get("limits", {}), link.get("limits", {})), "link: limits wider than the parent's")
    over = [next((p for p in parent["authorization_details"] if grant_covers(p, grant)), None) for grant in grants]
    need(all(over), "link: a grant is wider than the parent's")
    return dict(inherit(link, parent), authorization_details=[inherit(*pair) for pair in zip(grants, over)], line=line)

class Journal:  # the rules over records: order, completeness of every key, chains, uses
    def __init__(self, root_key):
        self.findings, self.keys, self.time, self.kinds, self.commitments, self.root = [], {}, 0, [], {}, root_key
        self.links, self.hashes, self.ended, self.peaks, self.wanted, self.witnessed = {}, {}, {}, [], {}, 0
    def root_at(self, size, root, who):
        self.wanted.setdefault(size, []).append((root, who))
        self.check_roots()
    def check_roots(self):
        for root, who in self.wanted.pop(len(self.kinds), []):
            total = self.peaks[-1][1] if self.peaks else sha(b"")
            for _, peak in self.peaks[-2::-1]:
                total = sha(b"\1" + peak + total)
            if root != total:
                self.findings.append("%s: the first %d records are not those it vouches for" % (who, len(self.kinds)))
    def push(self, raw):
        at, level, node = len(self.kinds), 0, sha(b"\0" + raw)
        self.kinds.append(None)
        try:
            self.check(at, record(raw))
        except Exception as error:  # whatever a malformed value trips over is a finding, never a crash
            self.findings.append("record %d: %s" % (at, error if isinstance(error, Bad) else "malformed (%r)" % error))
        while self.peaks and self.peaks[-1][0] == level:
            level, node = level + 1, sha(b"\1" + self.peaks.pop()[1] + node)
        self.peaks.append((level, node))
        self.check_roots()
    def opening(self, raw):
        value, end = cbor(raw, 0, 1)
        good = isinstance(value, list) and len(value) == 5 and end == len(raw) <= 262144 and uint(value[0]) and uint(value[1])
        need(good and exact(16)(value[2]) and exact(12)(value[3]) and isinstance(value[4], bytes), "an opening is malformed")
        need(value[1] in self.commitments.get(value[0], ()), "an opening opens no commitment")
    def check(self, at, r):
        kind, session, body, wrong = r[3], r.get(4), r[15], "time runs backwards" if r[2] < self.time else None
        self.kinds[at], self.commitments[at], self.time = kind, tuple(r[13]), max(self.time, r[2])
        need(r[1] == at, "says it is record %d" % r[1])
        for key_kind, key, n, prev in r.get(6, []):
            due = self.keys.get((key_kind, key), (0, None))
            if (n, prev) != due:
                wrong = "backlink of key %d:%s: number %s after %s, expected %s after %s" % (key_kind, key.hex(), n, prev, *due)
            self.keys[key_kind, key] = (n + 1, at)
        need(not wrong, wrong)
        if kind == "instance.init":
            need(at == 0 and exact(32)(body[20]) and self.root in (None, body[20]), "instance.init: not first, or not the root key given")
            self.root = body[20]
        elif kind == "session.open":
            need(self.root and session and session not in self.ended, "session.open: no root key, no session, or a second time")
            self.ended[session] = False
            link = jws(body[20], self.root)
            need("par_hash" not in link and link["del_depth"] == 0 <= link["del_max_depth"] <= 10, "link 0: par_hash or depth")
            need(link["iat"] < link["exp"] and link["key"] != self.root, "link 0: time or key")
            need(all(g["environment"] == link["session"]["environment"] for g in link["authorization_details"]), "link 0: environment")
            self.register(session, link)
        elif kind == "link.register":
            named = json.loads(unb64(body[20].split(".")[1], True))["par_hash"]  # says only which key to verify with
            parent = self.links.get(self.hashes.get((session, named)))
            need(parent, "link: its parent is not registered in this session")
            self.register(session, below(jws(body[20], parent["key"]), parent, self.root))
        elif kind == "link.revoke":
            need(body[1] in self.links and session in (None, self.links[body[1]]["in"]), "link.revoke: no such link in this session")
            self.links[body[1]]["revoked"] = True
        elif kind == "session.end":
            need(self.ended.get(session) is False, "session.end: not open")
            self.ended[session] = True
        elif kind == "use.outcome":
            need(7 in r and self.kinds[r[7]] == "use.intent", "use.outcome: its cause is no use.intent")
        elif kind == "use.intent" and (session or 5 in r):
            need(self.ended.get(session) is False, "use.intent: the session is not open")
            leaf = self.links.get(r.get(5), {"in": None})
            need(leaf["in"] == session, "use.intent: the leaf is not registered in this session")
            need(not any(self.links[a["jti"]]["revoked"] for a in [leaf] + leaf["line"]), "use.intent: the leaf or an ancestor is revoked")
            need(r[2] < (leaf["exp"] + 1) * 1000, "use.intent: the leaf has expired")
            leaf["uses"] += body.get(14) != 2
    def register(self, session, link):
        need(link["jti"] not in self.links, "link: the jti is registered already")
        self.links[link["jti"]], self.hashes[session, link["hash"]] = dict(link, uses=0, revoked=False, **{"in": session}), link["jti"]
    def lineage(self):
        for link in (a for session in self.ended for a in self.links.values() if a["in"] == session):
            if not link["line"]:
                s, state = link["session"], "ended" if self.ended[link["in"]] else "open"
                print("session %s (%s) human %s (%s), %s in %s" % (link["in"].hex(), state, s["human"], s["human_proof"], s["mode"], s["environment"]))
            print("  " * len(link["line"]), link["jti"], link["agent"]["id"] + ", uses %d" % link["uses"] + ", revoked" * link["revoked"])
def run(journal, where, against):
    journal.reading = where / "log.vkey"
    vkey, tip, instance = journal.reading.read_text().strip(), bytes(32), None
    for path in [where / "checkpoint"] + against:
        try:
            size, root = checkpoint(path.read_bytes(), vkey)
            journal.root_at(size, root, path)
            journal.witnessed = max(journal.witnessed, size if path in against else 0)
        except (Bad, OSError, ValueError, IndexError) as error:
            journal.findings.append("%s: %s" % (path, error))
    for number, journal.reading in enumerate(sorted(where.glob("*.seg"))):
        data, name = journal.reading.read_bytes(), journal.reading.name
        need(name == "%08d.seg" % number, "expected segment %d" % number)
        for kind, payload, instance, tip in frames(data, name, number, instance, tip, len(journal.kinds), journal.root_at):
            if kind is not None:
                (journal.opening if kind else journal.push)(payload)

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("data_dir", type=pathlib.Path)
parser.add_argument("--root-key", type=pathlib.Path, help="file with the 32 raw bytes of the authority's root public key, had from elsewhere")
parser.add_argument("--against", action="append", type=pathlib.Path, default=[], metavar="CHECKPOINT_FILE", help="a checkpoint remembered elsewhere")
parser.add_argument("--lineage", action="store_true", help="print each session's links")
args = parser.parse_args()
journal = Journal(args.root_key.read_bytes() if args.root_key else None)
try:
    run(journal, args.data_dir / "journal", args.against)
except (Bad, OSError, ValueError) as error:
    journal.findings.append("%s: %s" % (journal.reading, error))
for size, who in sorted(((size, who) for size, rest in journal.wanted.items() for _, who in rest), key=lambda pair: pair[0]):
    journal.findings.append("%s: covers %d records, the journal has %d" % (who, size, len(journal.kinds)))
if args.lineage:
    journal.lineage()
size, young = len(journal.kinds), "UNWITNESSED records %d to %d: no remembered checkpoint covers them; what lies below is as it was remembered"
verdict = 7 if journal.findings else 8 if journal.witnessed < size else 0
print("\n".join("FINDING " + f for f in journal.findings) or (young % (journal.witnessed, size - 1) if verdict else "OK %d records" % size))
sys.exit(verdict)
