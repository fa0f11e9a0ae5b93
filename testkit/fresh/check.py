"""What the upstream of quickstart's demonstration saw, by its own log: the real credential once for each allowed use, and
nothing for what was refused. Exits 1 with a line for each difference."""
import collections, json, pathlib, sys

kept = pathlib.Path(sys.argv[1])
key = (kept / "api.key").read_text()
assert len(key) > 20, "no key to look for"
expected = {("GET", "/items"): 1, ("GET", "/echo"): 1, ("DELETE", "/items/7"): 1}
seen, wrong = collections.Counter(), []
for line in (kept / "up" / "echo-tls.jsonl").read_text().splitlines():
    record = json.loads(line)
    use = (record["method"], record["target"])
    seen[use] += 1
    if [c["value"] for c in record["credentials"]] != [key]:
        wrong.append(f"{use} came with something else than the one credential")
if dict(seen) != expected:
    wrong.append(f"the upstream saw {dict(seen)}, not {expected}")
secrets = [key.encode(), (kept / "model.key").read_bytes()]
for place in ("shop", "home", "data", "data.state", "serve.out", "serve.err", "events.json"):
    path = kept / place
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    if not files and place in ("home", "data", "data.state"):
        wrong.append(f"{place} is empty: nothing was looked at")
    wrong += [f"{file} holds a credential" for file in files for secret in secrets if secret in file.read_bytes()]
print("\n".join(wrong) or f"the upstream saw its credential {sum(seen.values())} times, once for each allowed use")
sys.exit(bool(wrong))
