package report

// An Issued document is an invoice or a credit note with what an index of documents says of it.
type Issued struct {
	ID         int64
	Number     string
	Issuer     string // "" for the one without a name
	Kind       string // invoice or credit_note
	Date       string // of the document, as YYYY-MM-DD
	Currency   string
	TotalMinor int64
	Erased     bool // its personal data was erased
}

// An IssuedFilter selects documents. One matches if it satisfies every field that is set.
type IssuedFilter struct {
	From, To string  // the first and the last day of their dates, as YYYY-MM-DD
	Issuer   *string // nil for all; "" is the one without a name
	Series   string
}
