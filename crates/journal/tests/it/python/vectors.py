"""Runs verify.py's chain rules over conformance/chain: argv is verify.py and that directory. Prints one line per disagreement."""
import base64, json, pathlib, sys

rules = {}
exec(pathlib.Path(sys.argv[1]).read_text().split("\nparser = ")[0], rules)
# Rules verify.py leaves to the product: sizes, clocks, the verifier's name, schema beyond the names of claims.
LEFT = {"size", "issued_ahead", "expired", "lifetime", "policy", "human_proof", "claims", "json", "roots"}
count = 0
for name in ("valid", "forged"):
    for vector in json.loads((pathlib.Path(sys.argv[2]) / (name + ".json")).read_text())["vectors"]:
        expect = vector["expect"]
        left = expect.get("rule") in LEFT or not 0 < len(vector["links"]) <= vector["max_depth"] + 1 or expect.get("pointer") == "/aud"
        roots = [base64.urlsafe_b64decode(jwk["x"] + "=") for jwk in vector["roots"]]
        errors = []
        for root in roots:
            journal, error = rules["Journal"](root), None
            for n, link in enumerate(vector["links"]):
                try:
                    journal.kinds.append(None)
                    kind = "link.register" if n else "session.open"
                    journal.check(n, {1: n, 2: 0, 3: kind, 4: b"s" * 10, 13: {}, 15: {20: link}})
                except Exception as raised:
                    error = error or (n, raised)
            errors.append(error)
        error = None if None in errors else (errors or [(0, "no root")])[0]
        count += 1
        if expect["verdict"] == "valid":
            if error or [a["hash"] for a in journal.links.values()] != [hop["hash"] for hop in expect["hops"]]:
                print("refused", vector["name"], error)
            elif [a["authorization_details"] for a in journal.links.values()][1:] != [hop["grants"] for hop in expect["hops"]][1:]:
                print("other effective grants", vector["name"])
        elif not error and not left:
            print("accepted", vector["name"], expect)
        elif error and error[0] != expect["link"] and not left:
            print("another link", vector["name"], error, expect)
for vector in json.loads((pathlib.Path(sys.argv[2]) / "grants.json").read_text())["vectors"]:
    if "covers" in vector:
        count += 1
        if rules["grant_covers"](vector["covers"]["parent"], vector["covers"]["child"]) != (vector["expect"] is True):
            print("covers", vector)
print("compared", count)
