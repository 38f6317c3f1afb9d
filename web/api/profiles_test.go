package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/web/api"
)

// Each door of the API names all at once that a job lacks for the profile that is set, and no job for an invoice that was made before.
func TestJobsThatLackWhatTheProfileWants(t *testing.T) {
	t.Parallel()
	s := setup(t)
	before := into[api.JobAnswer](t, s.post(t, "checkout", jobOf("T1")), http.StatusAccepted)
	s.work(t, before.JobID)
	lost := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T4"), "Idempotency-Key", "lost"), http.StatusAccepted) // the client knows nothing of this answer
	own := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T5")), http.StatusAccepted)
	if _, err := s.store.Settings.Change(t.Context(), &postgres.SettingsChange{What: "profile", By: "ada", To: func(c invoice.Settings) (invoice.Settings, error) {
		c.Profile = "en16931"
		return c, nil
	}}); err != nil {
		t.Fatal(err)
	}
	s.store.Series.Change(t.Context(), &postgres.SeriesChange{Name: "FREE", What: "opened", By: "ada", To: func(*invoice.Series) (invoice.Series, error) { //nolint:errcheck // what needs it says so
		return invoice.Series{
			Kind: invoice.KindInvoice, Format: "F{number}", Period: "none", FirstMonth: 1, Timezone: "UTC", Date: invoice.DateIssuedAt, FirstNumber: 1, State: invoice.SeriesOpen, Profile: invoice.NoProfile,
		}, nil
	}})

	wanted := []string{"version", "seller.name", "seller.address.country_code", "seller.legal_id", "buyer.name", "buyer.address.country_code"}
	names := func(where string, faults []api.Fault) {
		t.Helper()
		for _, field := range wanted {
			if !slices.ContainsFunc(faults, func(f api.Fault) bool {
				return f.Field == field && (field == "version" || strings.Contains(f.Detail, "; profile en16931)") && strings.Contains(f.Detail, "BR-"))
			}) {
				t.Errorf("%s doesn't name %s: %+v", where, field, faults)
			}
		}
	}
	names("a job", into[api.ProblemError](t, s.post(t, "nightly", jobOf("T2")), http.StatusUnprocessableEntity).Errors)
	if p := into[api.Preview](t, s.ask(t, "nightly", http.MethodPost, "/v1/previews", jobOf("T2")), http.StatusOK); p.Outcome != "invalid" || p.Series != "INV" || p.Totals == nil {
		t.Errorf("preview %+v", p)
	} else {
		names("a preview", p.Violations)
	}
	batch := into[api.Batch](t, s.ask(t, "nightly", http.MethodPost, "/v1/jobs/batch?queue="+s.Queue,
		[]byte("["+string(jobOf("T2"))+","+string(jobOf("T3", `"series":"FREE"`))+","+string(jobOf("T1"))+"]")), http.StatusOK)
	if batch.Accepted != 2 || batch.Jobs[0].Status != "refused" || batch.Jobs[1].Status != "inserted" || batch.Jobs[2].Status != "duplicate" {
		t.Fatalf("batch %+v", batch)
	}
	names("a batch", batch.Jobs[0].Problem.Errors)
	into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted) // it is invoiced
	s.asksAgain(t, lost, own)
	into[api.ProblemError](t, s.post(t, "nightly", jobOf("T4"), "Idempotency-Key", "another"), http.StatusUnprocessableEntity)
	s.fail(t, own.JobID)
	into[api.ProblemError](t, s.post(t, "nightly", jobOf("T5")), http.StatusUnprocessableEntity)
}

// asksAgain has the client of two jobs that were accepted ask for them again: under a key of its own, and under the job's.
func (s *site) asksAgain(t *testing.T, lost, own api.JobAnswer) {
	t.Helper()
	if again := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T4"), "Idempotency-Key", "lost"), http.StatusAccepted); again != lost {
		t.Errorf("the same request has %+v, and had %+v", again, lost)
	}
	if again := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T5")), http.StatusAccepted); again != own {
		t.Errorf("the same job has %+v, and had %+v", again, own)
	}
}

// Dates that the settings refuse from now on are taken of what was accepted or invoiced before, by each door.
func TestDatesThatAreRefusedFromNowOn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	before := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted)
	s.work(t, before.JobID)
	lost := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T4"), "Idempotency-Key", "lost"), http.StatusAccepted)
	own := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T5")), http.StatusAccepted)
	if _, err := s.store.Settings.Change(t.Context(), &postgres.SettingsChange{What: "dates.earliest", By: "ada", To: func(c invoice.Settings) (invoice.Settings, error) {
		c.Earliest = time.Now()
		return c, nil
	}}); err != nil {
		t.Fatal(err)
	}
	s.asksAgain(t, lost, own)
	if again := into[api.JobAnswer](t, s.post(t, "checkout", jobOf("T1")), http.StatusAccepted); again.Status != "duplicate" {
		t.Errorf("what is invoiced: %+v", again)
	}
	batch := into[api.Batch](t, s.ask(t, "nightly", http.MethodPost, "/v1/jobs/batch?queue="+s.Queue, []byte("["+string(jobOf("T1"))+","+string(jobOf("T2"))+"]")), http.StatusOK)
	if batch.Jobs[0].Status != "duplicate" || batch.Jobs[1].Status != "refused" {
		t.Errorf("batch %+v", batch)
	}
}
