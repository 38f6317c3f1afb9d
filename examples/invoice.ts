// Asks for the invoice of a transaction, and hears of invoices. It needs node 18 or later, and nothing else.
//
//   INVOICER_URL=http://127.0.0.1:8080 INVOICER_TOKEN=… node invoice.ts [TRANSACTION_ID]
//
// asks for an invoice and prints its number. It asks again through broken connections and restarts, with the same
// Idempotency-Key. Running it again is safe, too: there is one invoice.
//
//   INVOICER_SECRET=whsec_… node invoice.ts listen [PORT]
//
// receives the events of an endpoint on this machine (docs/events.md), verifies their signatures, and prints them.
//
// This is strict TypeScript whose types are all inferred, so that a node that doesn't know types runs it as it is.

const url = process.env.INVOICER_URL ?? "http://127.0.0.1:8080";
const token = process.env.INVOICER_TOKEN ?? "";

const sample = {
  transaction_id: "536365",
  issued_at: "2010-12-01T08:26:00Z", // the transaction's time, not the time of asking: whoever asks again repeats it
  currency: "GBP",
  lines: [{ sku: "85123A", quantity: 6, unit_price: "2.55" }],
};

// ask returns the answer once the job has ended: its outcome and invoice_number. Keep the key beside your own record of the
// transaction, if another process may have to ask again and is to be told of the same job.
async function ask(job = sample, key = "", within = 60_000) {
  key ||= (await import("node:crypto")).randomUUID();
  const end = Date.now() + within;
  for (let pause = 100; ; pause = Math.min(2 * pause, 5_000)) {
    let why = "";
    let least = 0;
    let refusal = "";
    try {
      const answer = await fetch(url + "/v1/jobs", {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          "Idempotency-Key": `"${key}"`,
          Prefer: "wait=30",
          ...(token && { Authorization: "Bearer " + token }),
        },
        body: JSON.stringify(job),
        redirect: "manual",
        signal: AbortSignal.timeout(45_000),
      });
      why = await answer.text();
      if (answer.ok) {
        const told = JSON.parse(why); // which fails if the answer broke off
        if (told.state) return told; // the job has ended: done, or failed, which a person has to look at
      } else if (![409, 429, 502, 503, 504].includes(answer.status)) {
        refusal = `refused with ${answer.status}: ${why}`; // it names each bad field by a JSON Pointer
      }
      least = 1000 * Number(answer.headers.get("Retry-After") ?? 0) || 0;
    } catch (error) {
      why = String(error); // whether the job was accepted isn't known
    }
    if (refusal) throw new Error(refusal);
    if (Date.now() + least > end) throw new Error("no invoice yet; asking again is safe: " + why);
    const next = Math.max(least, pause * (0.5 + Math.random() / 2));
    await new Promise((resolve) => setTimeout(resolve, next));
  }
}

// listen takes events. A repeat has the same webhook-id: keep the ids that you have dealt with, for four days.
async function listen(secret = "", port = 0) {
  const { createHmac, timingSafeEqual } = await import("node:crypto");
  const { createServer } = await import("node:http");
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const seen = new Set([""]);

  // genuine says whether an event comes from whoever has the secret, as Standard Webhooks has it, and isn't an old one.
  const genuine = (id = "", timestamp = "", signatures = "", body = Buffer.alloc(0)) => {
    if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) < 300)) return false;
    const want = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
    return signatures.split(" ").some((one) => { // one for each secret; one that is right is enough
      const [version, signature] = one.split(",");
      const got = Buffer.from(signature ?? "", "base64");
      return version === "v1" && got.length === want.length && timingSafeEqual(got, want);
    });
  };

  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(Buffer.from(part));
    const body = Buffer.concat(parts);
    const header = (name = "") => String(request.headers[name] ?? "");
    const id = header("webhook-id");
    const ours = genuine(id, header("webhook-timestamp"), header("webhook-signature"), body);
    if (ours && !seen.has(id)) {
      const event = JSON.parse(body.toString());
      console.log(event.type, event.data.invoice_number);
      seen.add(id);
    }
    response.writeHead(ours ? 204 : 401).end();
  });
  server.listen(port, "127.0.0.1", () => {
    const at = server.address();
    console.log("listening on http://127.0.0.1:" + (typeof at === "object" ? at?.port : port));
  });
}

async function main() {
  const [what, port] = process.argv.slice(2);
  if (what === "listen") return listen(process.env.INVOICER_SECRET, Number(port ?? 0));
  const told = await ask({ ...sample, transaction_id: what ?? sample.transaction_id });
  if (!["created", "duplicate"].includes(told.outcome)) throw new Error(`${told.outcome}: ${told.reason}`);
  console.log(told.invoice_number);
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
