package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// DiffOptions says which two databases are compared.
type DiffOptions struct {
	Here, There Place
	// Snapshot bounds how long one snapshot is held, as in [Options].
	Snapshot time.Duration
	// Piece bounds how many invoices are sorted together, as in [Options].
	Piece int64
	// Progress is called with how many of the invoices here were compared. Default: it isn't called.
	Progress func(done, total int64)
	// Found is called with each difference, as soon as it is found. It must not keep the documents. Its error ends the comparison. Default: they are only counted.
	Found func(d *Difference) error
}

// A Place is one of the two databases.
type Place struct {
	URL    string
	Schema string // default: invoicer
}

// A DiffReport is the result of a comparison.
type DiffReport struct {
	Here  PlaceReport `json:"here"`
	There PlaceReport `json:"there"`
	// SameDatabase says that here and there is the very same schema of the very same server, so that nothing was compared with it.
	SameDatabase bool `json:"same_database"`
	// SameCluster says that both servers began as copies of one: a standby, or a backup that was restored. False as well if one doesn't say.
	SameCluster bool `json:"same_cluster"`
	// SameInstallation is false if neither database is a copy of the other one: each numbers for itself.
	SameInstallation bool `json:"same_installation"`
	// Notes say what couldn't be compared, and why.
	Notes  []string    `json:"notes"`
	Checks []DiffCheck `json:"checks"`
}

// A PlaceReport says which database was read, and how much of it.
type PlaceReport struct {
	Schema     string    `json:"schema"`
	TakenAt    time.Time `json:"taken_at"` // when the first snapshot was taken, by the server's clock
	Snapshots  int       `json:"snapshots"`
	Version    int64     `json:"version"` // of the newest migration
	DatabaseID string    `json:"database_id"`
	System     string    `json:"system_identifier,omitempty"`
	Standby    bool      `json:"standby"`
	Invoices   int64     `json:"invoices"`

	server string // differs for each start of a server and each of its databases
}

// A DiffCheck counts what was compared for one question, and the differences that were found.
type DiffCheck struct {
	Name     string `json:"check"`
	Proves   string `json:"proves"` // what it proves if there is no difference
	Examined int64  `json:"examined"`
	Found    int64  `json:"broken"` // as in [Check]
}

// OK reports whether no difference was found.
func (r *DiffReport) OK() bool {
	for _, c := range r.Checks {
		if c.Found > 0 {
			return false
		}
	}
	return true
}

// The checks of a comparison, in the order of [DiffReport.Checks].
const (
	OnlyHere     = "only_here"
	OnlyThere    = "only_there"
	Numbers      = "numbers"
	Transactions = "transactions"
	Content      = "content"
	Links        = "links"
	Erased       = "erased"
)

func diffChecks() []DiffCheck {
	return []DiffCheck{
		{Name: OnlyHere, Proves: "every transaction that is invoiced here is invoiced there"},
		{Name: OnlyThere, Proves: "every transaction that is invoiced there is invoiced here"},
		{Name: Numbers, Proves: "no number is one transaction's here, and another one's there"},
		{Name: Transactions, Proves: "no transaction has one number here, and another one there"},
		{Name: Content, Proves: "each transaction's document says the same here and there"},
		{Name: Links, Proves: "each document was made once, and follows the same one here and there"},
		{Name: Erased, Proves: "what was forgotten here is forgotten there, and the other way round"},
	}
}

// A Difference is one document that isn't the same here and there. It contains neither personal data nor an invoice's texts.
type Difference struct {
	Check   string    `json:"check"`
	Problem string    `json:"problem"`
	Differs []string  `json:"differs,omitempty"` // the columns, if both have the document
	Here    *Document `json:"here,omitempty"`
	There   *Document `json:"there,omitempty"`
}

// A Document is an invoice or a credit note as one of the databases has it.
type Document struct {
	Issuer        string    `json:"issuer,omitempty"`
	Series        string    `json:"series"`
	Period        string    `json:"period"`
	Number        int64     `json:"number"`
	InvoiceNumber string    `json:"invoice_number"`
	TransactionID string    `json:"transaction_id"`
	Fingerprint   string    `json:"fingerprint"`
	Currency      string    `json:"currency"`
	TotalMinor    int64     `json:"total_minor"`
	Chain         string    `json:"chain,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
	Erased        bool      `json:"erased,omitempty"`
}

// compare compares the places of two documents in the order in which invoices are read.
func (d *Document) compare(other *Document) int {
	return cmp.Or(cmp.Compare(d.Issuer, other.Issuer), cmp.Compare(d.Series, other.Series), cmp.Compare(d.Period, other.Period), cmp.Compare(d.Number, other.Number))
}

// Diff compares the documents of two databases. It only reads, and neither has to be migrated as far as this program knows: what a
// schema doesn't have isn't compared, which the report says. An error means that the comparison couldn't be completed; it is a
// [*PlaceError] if it is the other database's.
func Diff(ctx context.Context, o DiffOptions) (report *DiffReport, err error) {
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Found == nil {
		o.Found = func(*Difference) error { return nil }
	}
	d := &diff{options: o, report: &DiffReport{Notes: []string{}, Checks: diffChecks()}}
	defer func() {
		for _, side := range []*side{d.here, d.there} {
			if side != nil {
				err = errors.Join(err, side.session.end(ctx))
			}
		}
		if err != nil {
			report, err = nil, fmt.Errorf("audit: %w", err)
		}
	}()
	if d.here, err = openSide(ctx, o, o.Here); err != nil {
		return nil, err
	}
	if d.there, err = openSide(ctx, o, o.There); err != nil {
		return nil, &PlaceError{err}
	}
	d.there.other = true
	d.identify()
	return d.report, d.run(ctx)
}

// A PlaceError is an error of the other database.
type PlaceError struct{ err error }

func (e *PlaceError) Error() string { return e.err.Error() }
func (e *PlaceError) Unwrap() error { return e.err }

// A diff is one comparison. Both sides are read in the order of numbers. Documents that don't meet there wait until their transactions
// are looked for on the other side, many at a time.
type diff struct {
	options     DiffOptions
	report      *DiffReport
	here, there *side

	done     int64
	unlinked int64 // documents of which one side alone has a link
}

// lookedUp is how many documents are looked for together.
const lookedUp = 1000

// identify says which databases are compared, and what can't be.
func (d *diff) identify() {
	here, there := &d.here.report, &d.there.report
	r := d.report
	r.SameCluster = here.System != "" && here.System == there.System
	r.SameDatabase = here.server == there.server && here.Schema == there.Schema && here.System == there.System
	r.SameInstallation = here.DatabaseID == there.DatabaseID
	if here.Version != there.Version {
		r.Notes = append(r.Notes, fmt.Sprintf("here the schema has the migrations up to %d, and there up to %d", here.Version, there.Version))
	}
	for _, s := range []*side{d.here, d.there} {
		for _, what := range s.lacks {
			r.Notes = append(r.Notes, s.name()+" the schema "+what)
		}
	}
}

func (d *diff) run(ctx context.Context) error {
	for round := 1; ; round++ {
		if round%progressEvery == 0 {
			d.options.Progress(d.done, d.here.total)
			for _, s := range []*side{d.here, d.there} {
				if err := s.refresh(ctx); err != nil {
					return err
				}
			}
		}
		here, err := d.here.peek(ctx)
		if err != nil {
			return err
		}
		there, err := d.there.peek(ctx)
		if err != nil {
			return err
		}
		if here == nil && there == nil {
			break
		}
		if err := d.meet(here, there); err != nil {
			return err
		}
		if err := d.lookUp(ctx, lookedUp); err != nil {
			return err
		}
	}
	if err := d.lookUp(ctx, 1); err != nil {
		return err
	}
	if d.unlinked > 0 {
		d.report.Notes = append(d.report.Notes, fmt.Sprintf("the links of %d documents couldn't be compared, since one side has none", d.unlinked))
	}
	d.report.Here, d.report.There = d.here.end(), d.there.end()
	both := (d.report.Here.Invoices - d.found(OnlyHere).Found)
	for i, examined := range []int64{d.report.Here.Invoices, d.report.There.Invoices, d.report.Here.Invoices, both, both, both - d.unlinked, both} {
		d.report.Checks[i].Examined = examined
	}
	return nil
}

// meet takes the lower one of the next two documents, or both if they have the same number.
func (d *diff) meet(here, there *Document) error {
	order := -1
	switch {
	case here == nil:
		order = 1
	case there != nil:
		order = here.compare(there)
	}
	if order <= 0 {
		d.here.take()
		d.done++
	}
	if order >= 0 {
		d.there.take()
	}
	switch {
	case order < 0:
		d.here.alone(here)
	case order > 0:
		d.there.alone(there)
	case here.TransactionID == there.TransactionID:
		return d.same(here, there)
	default:
		d.here.alone(here)
		d.there.alone(there)
		return d.add(Numbers, "its number was given to another transaction there", here, there)
	}
	return nil
}

// lookUp looks for the transactions of the documents that met none, once there are so many.
func (d *diff) lookUp(ctx context.Context, least int) error {
	for _, from := range []*side{d.here, d.there} {
		if len(from.waiting) < least {
			continue
		}
		to := d.there
		if from.other {
			to = d.here
		}
		known, err := to.byTransaction(ctx, from.waiting)
		if err != nil {
			return err
		}
		for i := range from.waiting {
			one := &from.waiting[i]
			if err := d.became(from, one, known[transactionOf(one)]); err != nil {
				return err
			}
		}
		from.waiting = from.waiting[:0]
	}
	return nil
}

// became says what became of the transaction of a document on the other side, where it has none if it is nil.
func (d *diff) became(from *side, one, elsewhere *Document) error {
	switch {
	case elsewhere == nil && from.other:
		return d.add(OnlyThere, "its transaction isn't invoiced here", nil, one)
	case elsewhere == nil:
		return d.add(OnlyHere, "its transaction isn't invoiced there", one, nil)
	case from.other: // it was found from here as well
		return nil
	case one.compare(elsewhere) == 0: // it has come since the other side was read up to there
		return d.same(one, elsewhere)
	}
	if err := d.add(Transactions, "its transaction has another number there", one, elsewhere); err != nil {
		return err
	}
	return d.same(one, elsewhere)
}

// same compares two documents of one transaction.
func (d *diff) same(here, there *Document) error {
	var differs []string
	moved := here.compare(there) != 0
	for _, c := range []struct {
		column string
		equal  bool
	}{
		{"invoice_number", moved || here.InvoiceNumber == there.InvoiceNumber},
		{"fingerprint", here.Erased || there.Erased || here.Fingerprint == there.Fingerprint},
		{"currency", here.Currency == there.Currency},
		{"total_minor", here.TotalMinor == there.TotalMinor},
	} {
		if !c.equal {
			differs = append(differs, c.column)
		}
	}
	if here.Erased != there.Erased {
		problem := "it is forgotten here, and not there"
		if there.Erased {
			problem = "it is forgotten there, and not here"
		}
		if err := d.add(Erased, problem, here, there); err != nil {
			return err
		}
	}
	linked := here.Chain != "" && there.Chain != ""
	if !linked && here.Chain != there.Chain {
		d.unlinked++
	}
	switch {
	case len(differs) > 0:
		return d.add(Content, "its document says something else there", here, there, differs...)
	case !moved && linked && here.Chain != there.Chain:
		return d.add(Links, "it was made twice, or follows another document there", here, there, "chain")
	}
	return nil
}

func (d *diff) add(check, problem string, here, there *Document, differs ...string) error {
	d.found(check).Found++
	return d.options.Found(&Difference{Check: check, Problem: problem, Differs: differs, Here: here, There: there})
}

func (d *diff) found(check string) *DiffCheck {
	for i := range d.report.Checks {
		if d.report.Checks[i].Name == check {
			return &d.report.Checks[i]
		}
	}
	return &DiffCheck{}
}
