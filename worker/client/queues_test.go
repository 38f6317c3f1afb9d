package client_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice"
	"invoicer/worker/client"
)

func TestAQueueThatNobodyConsumes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refused := func(err error, queue, known string) {
		t.Helper()
		var unknown *client.UnknownQueueError
		if !errors.As(err, &unknown) || unknown.Queue != queue || unknown.Known != known || !errors.As(err, new(*pgconn.PgError)) || errors.As(err, new(*client.BatchError)) {
			t.Errorf("error %#v, want queue %s refused, and %s known", err, queue, known)
		} else if !strings.Contains(err.Error(), "Options.NewQueue") || strings.Contains(err.Error(), "new_queue") {
			t.Errorf("%q doesn't say what to do in Go", err)
		}
	}
	_, err := b.Accept(t.Context(), b.DB, job(), "urgent")
	refused(err, "urgent", "bulk, critical, default")
	_, err = b.AcceptMany(t.Context(), b.DB, []*invoice.Job{jobOf("T1"), jobOf("T2")}, "urgent")
	refused(err, "urgent", "bulk, critical, default")
	conn, err := pgx.Connect(t.Context(), b.Named(t)) // a driver with errors of its own
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, err = b.Accept(t.Context(), client.Pgx(conn), job(), "urgent")
	refused(err, "urgent", "bulk, critical, default")
	b.accepted(t, "nothing")

	anew, err := client.New(nil, client.Options{Schema: b.Schema, Producer: "checkout", Queue: "nightly", NewQueue: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anew.AcceptMany(t.Context(), b.DB, []*invoice.Job{jobOf("T1"), jobOf("T2")}); err != nil {
		t.Error(err)
	}
	if _, err := b.Accept(t.Context(), b.DB, jobOf("T3"), "nightly"); err != nil {
		t.Error(err)
	}
	b.accepted(t, "T1 T1 checkout nightly accepted, T2 T2 checkout nightly accepted, T3 T3 checkout nightly accepted")
	_, err = b.Accept(t.Context(), b.DB, job(), "night")
	refused(err, "night", "bulk, critical, default, nightly")
}
