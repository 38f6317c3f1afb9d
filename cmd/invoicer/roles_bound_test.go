package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
)

// What a login role is bound to, it can't get around; an absent producer is filled in up to the invoice.
func TestProducerIsBound(t *testing.T) {
	t.Parallel()
	i := installWithRoles(t)
	i.shell(t, `psql -v ON_ERROR_STOP=1 postgres://dba@db.example/invoicer <<'SQL'
CREATE ROLE kiosk LOGIN IN ROLE invoicer_producer;
INSERT INTO invoicer.producer_bindings (role, producer, queues, issuers, series, note)
VALUES ('shop', 'checkout', ARRAY['default', '`+i.queue+`'], ARRAY[''], ARRAY['', 'INV'], 'TICKET-4');
SQL`)
	shop, kiosk := i.session(t, "shop"), i.session(t, "kiosk")
	job := func(transaction, more string) string {
		return strings.Replace(payloadOf(transaction, "GBP"), "{", "{"+more, 1)
	}
	for name, c := range map[string]struct{ call, field, says string }{
		"another producer": {"SELECT invoicer.accept('" + job("B1", `"producer":"webhook",`) + "')", "producer", `producer must be "checkout", and is "webhook": role shop is bound to that`},
		"as jsonb":         {"SELECT invoicer.accept('" + job("B1", `"producer":"webhook",`) + "'::jsonb)", "producer", `must be "checkout"`},
		"another queue":    {"SELECT invoicer.accept('" + job("B1", "") + "', queue := 'bulk')", "queue", `queue must be one of ["default","` + i.queue + `"], and is "bulk"`},
		"a new queue":      {"SELECT invoicer.accept('" + job("B1", "") + "', queue := 'mine', new_queue := true)", "queue", `and is "mine"`},
		"another issuer":   {"SELECT invoicer.accept('" + job("B1", `"issuer":"ACME-DE",`) + "')", "issuer", `issuer must be one of [""], and is "ACME-DE"`},
		"another series":   {"SELECT invoicer.accept('" + job("B1", `"series":"X",`) + "')", "series", `series must be one of ["","INV"], and is "X"`},
		"spelled oddly":    {"SELECT invoicer.accept('" + job("B1", `"s\u0065ries":"X",`) + "')", "series", `and is "X"`},
		"one of many": {
			"SELECT * FROM invoicer.accept_many(ARRAY['" + job("B1", "") + "', '" + job("B2", `"producer":"webhook",`) + "'])", "producer", `must be "checkout"`,
		},
	} {
		_, err := shop.ExecContext(t.Context(), c.call)
		pg := new(pgconn.PgError)
		if !errors.As(err, &pg) || pg.Code != "22023" || pg.ColumnName != c.field || pg.ConstraintName != "producer_bindings" || !strings.Contains(pg.Message, c.says) {
			t.Errorf("%s: %v (%s)", name, err, pg.ColumnName)
		} else if name == "one of many" && !strings.Contains(pg.Detail, "B2") {
			t.Errorf("it doesn't say which: %s", pg.Detail)
		}
		if name == "another issuer" {
			continue // none is opened, so that anybody's waits in vain
		}
		if _, err := kiosk.ExecContext(t.Context(), strings.ReplaceAll(c.call, "B1", "K-"+uuid.NewString())); err != nil {
			t.Errorf("%s, by a role that isn't bound: %v", name, err)
		}
	}
	if n := i.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = 'B1'"); n != 0 {
		t.Errorf("%d refused jobs are accepted", n)
	}

	id := uuid.NewString()
	for range 2 { // a retry is known
		if _, err := shop.ExecContext(t.Context(), fmt.Sprintf("SELECT invoicer.accept('%s', '%s', '%s')", job("A1", ""), i.queue, id)); err != nil {
			t.Error(err)
		}
	}
	if _, err := shop.ExecContext(t.Context(), fmt.Sprintf("SELECT * FROM invoicer.accept_many(ARRAY['%s', '%s'], '%s')",
		job("A2", `"producer":"checkout","series":"INV",`), job("A3", `"producer":null,`), i.queue)); err != nil {
		t.Error(err)
	}
	i.of(t, "worker").start(t, "worker")
	i.awaitCount(t, 3, "SELECT count(*) FROM invoices WHERE transaction_id LIKE 'A%'")
	if n := i.Count(t, "SELECT count(*) FROM invoices JOIN invoice_jobs USING (job_id) WHERE invoices.transaction_id LIKE 'A%' AND invoices.producer = 'checkout' AND invoice_jobs.producer = 'checkout'"); n != 3 {
		t.Errorf("%d of 3 invoices and their jobs name the producer that their role is bound to", n)
	}
	if _, err := shop.ExecContext(t.Context(), "INSERT INTO invoicer.producer_bindings (role, producer) VALUES ('kiosk', 'x')"); err == nil {
		t.Error("a producer binds others")
	}
	if _, err := i.DB.ExecContext(t.Context(), "INSERT INTO producer_bindings (role, series) VALUES ('x', ARRAY['A', NULL])"); err == nil {
		t.Error("a list with NULL, which lets all through, is taken")
	}
}
