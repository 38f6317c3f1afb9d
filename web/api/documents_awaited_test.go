package api_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"invoicer/internal/documents"
	"invoicer/internal/rig"
	"invoicer/invoice/document"
	"invoicer/web/api"
)

// A document isn't made while a transaction that it names has no invoice here. It is owed, and names that invoice once there is one.
func TestDocumentsWaitForTheInvoicesThatTheyName(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.store.Documents.Configure(t.Context(), []document.Format{document.AsUBL}); err != nil {
		t.Fatal(err)
	}
	credit := bytes.Replace(jobOf("ord-9-storno", `"credits_transaction_id":"ord-9"`), []byte(`"quantity":6`), []byte(`"quantity":-6`), 1)
	s.work(t, into[api.JobAnswer](t, s.post(t, "all", credit), http.StatusAccepted).JobID)
	s.invoiced(t, "new-8", `"version":2`, `"replaces_transaction_id":"ord-8"`)
	number := func(transaction string) string {
		t.Helper()
		return s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = $1", transaction)
	}
	get := func(transaction string) reply {
		t.Helper()
		return s.ask(t, "operator", http.MethodGet, "/v1/invoices/"+number(transaction)+"/document?format=ubl", nil)
	}
	for transaction, want := range map[string]string{"ord-9-storno": `it credits the transaction "ord-9"`, "new-8": `it replaces the transaction "ord-8"`} {
		if p := into[api.ProblemError](t, get(transaction), http.StatusConflict); !strings.Contains(p.Detail, want) {
			t.Errorf("%s: %s", transaction, p.Detail)
		}
	}
	s.invoiced(t, "new-7", `"version":2`, `"replaces_transaction_id":"ord-7"`, `"preceding":[{"invoice_number":"OLD-7"}]`) // it names that invoice itself
	if r := get("new-7"); r.StatusCode != http.StatusOK || !bytes.Contains(r.body, []byte("<cbc:ID>OLD-7</cbc:ID>")) {
		t.Errorf("%s", r)
	}
	worker := &documents.Worker{Maker: newMaker(s.store), Debts: s.store.Documents, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); worker.Run(ctx) }()
	defer func() { cancel(); <-done }()
	rig.Eventually(t, "both to be put off", func() bool {
		return s.Count(t, "SELECT count(*) FROM documents_owed WHERE error LIKE '%it credits the transaction \"ord-9\"%' OR error LIKE '%it replaces the transaction \"ord-8\"%'") == 2
	})
	if n := s.Count(t, "SELECT count(*) FROM documents"); n != 1 {
		t.Errorf("%d documents are made, want that of new-7", n)
	}
	if err := s.store.Documents.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.invoiced(t, "ord-9")
	s.Exec(t, "INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('ord-8', 'ord-8', 'OLD-8')")
	s.Exec(t, "UPDATE documents_owed SET due_at = now()")
	rig.Eventually(t, "both to be made", func() bool { return s.Count(t, "SELECT count(*) FROM documents_owed") == 0 })
	for transaction, named := range map[string]string{"ord-9-storno": number("ord-9"), "new-8": "OLD-8"} {
		if r := get(transaction); r.StatusCode != http.StatusOK || !bytes.Contains(r.body, []byte("<cac:BillingReference>")) || !bytes.Contains(r.body, []byte("<cbc:ID>"+named+"</cbc:ID>")) {
			t.Errorf("%s doesn't name %s: %s", transaction, named, r)
		}
	}
}
