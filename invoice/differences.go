package invoice

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// decideDiffering decides about a transaction that is invoiced with another content.
func (g *Generator) decideDiffering(ctx context.Context, r Request, own *Ref, reason Reason) (Result, error) {
	differs, elsewhere, err := g.differs(ctx, r, own)
	if err != nil {
		return Result{}, err
	}
	shown := shortened(differs)
	if own.IdempotencyKey == r.Job.IdempotencyKey && own.JobID != r.JobID { // a job is no duplicate of itself
		settings, err := g.settings(ctx, r.Job)
		if err != nil {
			return Result{}, err
		}
		if settings.ignores(differs) {
			return Result{Outcome: Duplicate, Invoice: own, Reason: reason, Differs: shown}, nil
		}
	}
	if slices.Equal(differs, []string{"issued_at"}) {
		return Result{Outcome: Conflict, Invoice: own, Differs: shown, Detail: fmt.Sprintf(
			"transaction_id %s is invoiced as %s with another issued_at, and else the same content: the producer probably sends the time of asking; "+
				"have it repeat the transaction's time, or `invoicer settings set ignore issued_at` for such repeats to be duplicates%s", own.TransactionID, own.Number, elsewhere)}, nil
	}
	return Result{Outcome: Conflict, Invoice: own, Differs: shown, Detail: fmt.Sprintf(
		"transaction_id %s is invoiced as %s with other content: %s (%s); the invoice stays as it is; if the new content is right, credit it and ask under a new transaction_id%s",
		own.TransactionID, own.Number, strings.Join(shown, ", "), weight(differs), elsewhere)}, nil
}

// differs returns all fields that differ, and a half sentence if another producer has asked for the stored invoice, "" if not.
func (g *Generator) differs(ctx context.Context, r Request, stored *Ref) (fields []string, elsewhere string, err error) {
	if stored.Imported != nil { // of another transaction
		differs, err := stored.Imported.Differs(r.Job)
		return append([]string{"transaction_id"}, differs...), "", err
	}
	whole, err := g.store.Read(ctx, stored.ID)
	if err != nil {
		return nil, "", err
	}
	if whole.Producer != r.Job.Producer && whole.Producer != "" && r.Job.Producer != "" {
		elsewhere = fmt.Sprintf("; producer %s asked for that invoice, and %s for this one: if each counts its own transactions, put a prefix before their ids", whole.Producer, r.Job.Producer)
	}
	return allDifferences(whole.Content(), r.Job), elsewhere, nil
}

// isPresentation reports whether a field is only shown, and decides neither what is owed, nor what was sold, nor to whom.
func isPresentation(field string) bool {
	return shown[indexes.ReplaceAllString(field, "[]")]
}

//nolint:gochecknoglobals // constants
var (
	indexes = regexp.MustCompile(`\[[0-9]+\]`)
	// shown are the fields that are only shown.
	shown = func() map[string]bool {
		all := map[string]bool{"customer_name": true, "lines[].description": true}
		for _, name := range slices.Concat(termsFields.Shown(""), lineFields.Shown("lines[].")) {
			all[name] = true
		}
		return all
	}()
)

// weight says of fields that differ whether money, tax or identity is among them. A difference without a name counts as such.
func weight(fields []string) string {
	if len(fields) == 0 || slices.ContainsFunc(fields, func(f string) bool { return !isPresentation(f) }) {
		return "material"
	}
	return "presentation"
}

// ignores reports whether a job that differs from its invoice in these fields alone, and has its idempotency key, is a duplicate.
func (s *Settings) ignores(fields []string) bool {
	return len(fields) > 0 && !slices.ContainsFunc(fields, func(f string) bool {
		return (f != "issued_at" || !s.IgnoreIssuedAt) && (!isPresentation(f) || !s.IgnorePresentation)
	})
}
