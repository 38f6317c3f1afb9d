"""Asks for the invoice of a transaction, and hears of invoices. It needs requests, and nothing else.

    INVOICER_URL=http://127.0.0.1:8080 INVOICER_TOKEN=… python3 invoice.py [TRANSACTION_ID]

asks for an invoice and prints its number. It asks again through broken connections and restarts, with the same
Idempotency-Key. Running it again is safe, too: there is one invoice.

    INVOICER_SECRET=whsec_… python3 invoice.py listen [PORT]

receives the events of an endpoint on this machine (docs/events.md), verifies their signatures, and prints them.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import random
import sys
import time
import uuid

import requests

URL = os.environ.get("INVOICER_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("INVOICER_TOKEN", "")


class Refused(Exception):
    """The job is refused: sending it again is of no use. problem names each bad field by a JSON Pointer."""

    def __init__(self, answer):
        try:
            self.problem = answer.json()
        except ValueError:
            self.problem = {"detail": "the answer isn't one of invoicer's API"}
        super().__init__(f"{answer.status_code}: {json.dumps(self.problem)}")


def ask(job, key=None, within=60.0, url=None):
    """Asks for a job's invoice, and returns the answer once the job has ended: its outcome and invoice_number.

    Keep the key beside your own record of the transaction, if another process may have to ask again and is to be told of
    the same job. url may be a function, if there are several processes to choose from.
    """
    headers = {"Idempotency-Key": f'"{key or uuid.uuid4()}"', "Prefer": "wait=30"}
    if TOKEN:
        headers["Authorization"] = "Bearer " + TOKEN
    end = time.monotonic() + within
    pause = 0.1
    while True:
        least = 0.0
        base = url() if callable(url) else url or URL
        try:
            answer = requests.post(base + "/v1/jobs", json=job, headers=headers, timeout=(5, 45), allow_redirects=False)
            if answer.status_code in (200, 201, 202):
                told = answer.json()  # which fails if the answer broke off
                if "state" in told:  # the job has ended: done, or failed, which a person has to look at
                    return told
                why = "the job is accepted and has no end yet"
            elif answer.status_code in (409, 429, 502, 503, 504):  # nothing was done by halves
                why = answer.text
            else:
                raise Refused(answer)
            least = float(answer.headers.get("Retry-After", 0))
        except (requests.RequestException, ValueError) as error:  # whether the job was accepted isn't known
            why = error
        if time.monotonic() + least > end:
            raise TimeoutError(f"no invoice yet; asking again is safe: {why}")
        time.sleep(max(least, pause * random.uniform(0.5, 1.0)))
        pause = min(2 * pause, 5.0)


def verify(secret, headers, body, now=None):
    """Returns whether an event comes from whoever has the secret, as Standard Webhooks has it, and isn't an old one."""
    try:
        age = (now or time.time()) - int(headers["webhook-timestamp"])
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    except (KeyError, TypeError, ValueError):
        return False
    want = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    signatures = (headers["webhook-signature"] or "").split(" ")  # one for each secret; one that is right is enough
    return abs(age) < 300 and any([hmac.compare_digest(want.encode(), s.encode()) for s in signatures])


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes events. A repeat has the same webhook-id: keep the ids that you have dealt with, for four days."""

    protocol_version = "HTTP/1.1"
    seen = set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        genuine = verify(os.environ["INVOICER_SECRET"], self.headers, body)
        if genuine and self.headers["webhook-id"] not in self.seen:
            self.took(json.loads(body))
            self.seen.add(self.headers["webhook-id"])
        self.send_response(204 if genuine else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def took(self, event):
        print(event["type"], event["data"].get("invoice_number"), flush=True)

    def log_message(self, *args):
        pass


def main(arguments):
    if arguments[:1] == ["listen"]:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int((arguments[1:] or ["0"])[0])), Receiver)
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
    told = ask({
        "transaction_id": (arguments or ["536365"])[0],
        "issued_at": "2010-12-01T08:26:00Z",  # the transaction's time, not the time of asking: whoever asks again repeats it
        "currency": "GBP",
        "lines": [{"sku": "85123A", "quantity": 6, "unit_price": "2.55"}],
    })
    if told["outcome"] not in ("created", "duplicate"):
        sys.exit(f"{told['outcome']}: {told.get('reason')}")
    print(told["invoice_number"])


if __name__ == "__main__":
    main(sys.argv[1:])
