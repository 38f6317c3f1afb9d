package invoice

import (
	"cmp"
	"strings"
)

// A SlotKey is what a counter counts in: a series of an issuer, in a period.
type SlotKey struct {
	Issuer string // "" for the one without a name
	Series string
	Period string
}

// ID returns the series.
func (k SlotKey) ID() SeriesID { return SeriesID{Issuer: k.Issuer, Name: k.Series} }

// Key returns the slot's key.
func (s Slot) Key() SlotKey { return SlotKey{s.Issuer, s.Series, s.Period} }

// A Numbered is a number that was given out. The zero value stands for an unknown one.
type Numbered struct {
	SlotKey

	Number int64
	Date   string // the day of issue, such as 2010-12-31; "" if the document's date is issued_at
}

// A Made is a document that was committed, as it is remembered outside of the database. It has nothing of its content.
type Made struct {
	Numbered

	InvoiceNumber string // as printed
	TransactionID string
	Chain         string // its link in the chain of its series and period
}

// Known reports whether it is a number.
func (n Numbered) Known() bool { return n.Number > 0 }

// Compare orders slots by issuer, series and period.
func (k SlotKey) Compare(other SlotKey) int {
	return cmp.Or(k.ID().Compare(other.ID()), strings.Compare(k.Period, other.Period))
}
