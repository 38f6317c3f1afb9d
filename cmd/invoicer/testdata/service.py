"""A billing service that has nothing but requests, for TestHeavyAPythonService. It uses examples/invoice.py as it is.

    service.py ask TRANSACTIONS SEED URL...     asks five times at once for each, and prints what it was told
    service.py hear PORT FILE                   appends the events that it has verified to a file, and outlives being killed
"""

import concurrent.futures
import http.server
import json
import os
import random
import sys

import invoice

COPIES = 5


def job(transaction_id, n):
    return {
        "transaction_id": transaction_id,
        "issued_at": "2010-12-01T08:26:00Z",
        "currency": "GBP",
        "lines": [{"sku": "85123A", "quantity": n + 1, "unit_price": "2.55"}],
    }


def ask(transactions, seed, urls):
    draw = random.Random(seed)
    with concurrent.futures.ThreadPoolExecutor(COPIES * 6) as threads, concurrent.futures.ThreadPoolExecutor(6) as rows:
        def five(n, keys):
            asked = [
                threads.submit(invoice.ask, job(f"P{n}", n), key=key, within=300, url=lambda: random.choice(urls))
                for key in keys
            ]
            told = [a.result() for a in asked]
            line = json.dumps({
                "transaction_id": f"P{n}",
                "numbers": [t.get("invoice_number") for t in told],
                "outcomes": [t["outcome"] for t in told],
            }) + "\n"
            os.write(sys.stdout.fileno(), line.encode())  # in one piece

        # Some of the five share a key, as two threads of one request may, and the others don't.
        todo = [(n, [f"{n}-{draw.randrange(3)}" if draw.random() < 0.5 else None for _ in range(COPIES)]) for n in range(transactions)]
        for row in [rows.submit(five, *each) for each in todo]:
            row.result()


class Receiver(invoice.Receiver):
    def took(self, event):
        line = json.dumps({
            "id": self.headers["webhook-id"],
            "type": event["type"],
            "transaction_id": event["data"]["transaction_id"],
            "number": event["data"]["invoice_number"],
        }) + "\n"
        os.write(FILE, line.encode())  # it is kept before it is answered


def hear(port, path):
    global FILE
    FILE = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        hear(int(sys.argv[2]), sys.argv[3])
