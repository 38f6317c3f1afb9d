package document

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Format is how a document is written.
type Format string

// The formats.
const (
	AsPDF     Format = "pdf"     // a page, as people read it
	AsUBL     Format = "ubl"     // UBL 2.1
	AsCII     Format = "cii"     // UN/CEFACT CII D16B
	AsFacturX Format = "facturx" // a PDF with the CII in it
)

// Formats are all of them.
func Formats() []Format { return []Format{AsPDF, AsUBL, AsCII, AsFacturX} }

// HasLanguage reports whether a document of the format is written in a language.
func (f Format) HasLanguage() bool { return f == AsPDF || f == AsFacturX }

// MediaType is the format's, as HTTP names it.
func (f Format) MediaType() string {
	if f.HasLanguage() {
		return "application/pdf"
	}
	return "application/xml"
}

// Extension is that of a file with the format's name.
func (f Format) Extension() string {
	if f.HasLanguage() {
		return "pdf"
	}
	return "xml"
}

// Kept is a document that was handed out. It stays what it is.
type Kept struct {
	InvoiceID int64
	Format    Format
	Language  string // which of those that a page speaks; "" where the format has none
	Copy      bool   // it says that it is one: it is in another language than its invoice
	Content   []byte // nil once it is erased, and where it wasn't asked for
	Place     string // where the content is outside of the database; "" if it is inside, or erased
	Size      int64
	SHA256    [sha256.Size]byte
	Renderer  string // the version of the program that made it
	Rules     string // the profile, and the version of its rules
	MadeAt    time.Time
	ErasedAt  *time.Time
}

// Owed is a document that is to be made.
type Owed struct {
	InvoiceID int64
	Format    Format
	Attempts  int // with the one that begins
}

// A Leftover is an object outside of the database that is to be deleted.
type Leftover struct {
	Place     string
	InvoiceID int64
	Attempts  int // with the one that begins
}

var (
	// ErrAltered says that the bytes that were handed out aren't where they were kept, or are others.
	ErrAltered = errors.New("the document isn't what was handed out")
	// ErrNone says that no such document was made yet.
	ErrNone = errors.New("there is no such document yet")
	// ErrErased says that the personal data of the invoice was erased, so that it has no document any more.
	ErrErased = errors.New("the personal data of the invoice was erased: it has no document any more")
	// ErrBusy says that so many documents are being made that another one isn't begun now.
	ErrBusy = errors.New("so many documents are being made that this one isn't begun: ask again in a moment")
	// ErrMayNotKeep says that the process's role in the database may keep no documents, so that it hands out those alone that are kept already.
	ErrMayNotKeep = errors.New("this document wasn't made yet, and the role of this process may keep none: it hands out what is kept already; ask a worker, or grant the role INSERT on the table documents")
)

// An UnmadeError says why an invoice can't be written in a format: its content or the configuration doesn't allow it, now and at the next try.
type UnmadeError struct {
	Number string
	Format Format
	Err    error
}

func (e *UnmadeError) Error() string {
	return "document " + e.Number + " as " + string(e.Format) + ": " + e.Err.Error()
}

func (e *UnmadeError) Unwrap() error { return e.Err }

// A LanguageError says that no page speaks a language that was asked for.
type LanguageError struct {
	Language string
	Known    []string
}

func (e *LanguageError) Error() string {
	return fmt.Sprintf("language %.40q: must be one of %s", e.Language, strings.Join(e.Known, ", "))
}

// An AwaitedError says that a document isn't made yet: it names a transaction that has no invoice here. It is made once that has one.
type AwaitedError struct {
	Number        string
	TransactionID string
	Credited      bool // by the document, which else replaces it
}

func (e *AwaitedError) Error() string {
	does := "replaces"
	if e.Credited {
		does = "credits"
	}
	return fmt.Sprintf("document %s: it %s the transaction %q, which has no invoice here: it is made once there is one, or one is imported", e.Number, does, e.TransactionID)
}
