// Package seals keeps what invoices were, signed, in a folder outside of the database, so that not even the database's owner can
// change an invoice unseen.
//
// A seal is two files. NUMBER.seal has two lines of JSON: a [Seal], and an Ed25519 signature of that line, with its line break. It
// names the seal before it by its SHA-256, and the file of its entries, which has a line for each invoice since the seal before:
// its number, its transaction, and its digest. Files are written once, by a rename or a link, and never changed. public-key.pem has
// the key that the first seal is signed with; a seal may name another key, for those after it.
//
// Whatever is removed from a folder, added or changed, is found when it is opened, with one exception: that the newest seals were
// removed. Nothing in a folder is secret, but numbers and transactions are legible.
package seals

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// A Seal says what the invoices of a database were.
type Seal struct {
	Format   int       `json:"format"` // 1, or 2 if a head has an issuer, which earlier releases would overlook
	Number   int       `json:"seal"`   // from 1, without gaps
	Database string    `json:"database"`
	TakenAt  time.Time `json:"taken_at"` // of the snapshot, by the database's clock
	Previous string    `json:"previous"` // SHA-256 of the seal before, "" for the first
	File     string    `json:"file"`     // of the entries
	SHA256   string    `json:"sha256"`   // of that file
	Invoices int64     `json:"invoices"` // in that file
	Unlinked int64     `json:"unlinked"` // of these, those that have no link
	Heads    []Head    `json:"heads"`    // of each slot with entries
	NextKey  string    `json:"next_key,omitempty"`
}

// A Slot is what has numbers and a chain of its own: a period of a series of an issuer, "" for the one without a name.
type Slot struct{ Issuer, Series, Period string }

// Compare orders by issuer, series and period, by their bytes.
func (s Slot) Compare(other Slot) int {
	return cmp.Or(cmp.Compare(s.Issuer, other.Issuer), cmp.Compare(s.Series, other.Series), cmp.Compare(s.Period, other.Period))
}

// A Head is the last sealed invoice of a slot.
type Head struct {
	Series string `json:"series"`
	Period string `json:"period"`
	Number int64  `json:"number"`
	Chain  string `json:"chain"` // its link, "" if it has none
	Issuer string `json:"issuer,omitempty"`
}

// Slot returns what the head is of.
func (h *Head) Slot() Slot { return Slot{h.Issuer, h.Series, h.Period} }

// An Entry is what a sealed invoice was.
type Entry struct {
	Number        int64  `json:"number"`
	InvoiceNumber string `json:"invoice_number"`
	TransactionID string `json:"transaction_id"`
	Digest        string `json:"digest"` // as invoice.Hasher computes it, in hexadecimal digits
	// Salt is the one with which the texts were hashed for the digest, in hexadecimal digits. Invoices with a link have one of
	// their own, and none here.
	Salt string `json:"salt,omitempty"`
}

const (
	format  = 1
	issuers = 2 // a seal with an issuer
	keyFile = "public-key.pem"
)

// A FolderError says what is wrong with a folder of seals, or with a key.
type FolderError struct {
	File    string
	Problem string // what is wrong, and what to do about it
}

func (e *FolderError) Error() string { return e.File + " " + e.Problem }

// ErrTaken says that another seal was made at the same time.
var ErrTaken = errors.New("another seal was made in the folder meanwhile: seal again")

// ParsePublicKey reads an Ed25519 public key in PEM.
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("is no public key in PEM: make it by `openssl pkey -in KEY -pubout`")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("is no Ed25519 public key")
	}
	return key, nil
}

// ParsePrivateKey reads an Ed25519 private key in PEM, as PKCS #8.
func ParsePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("is no unencrypted private key in PEM (PKCS #8): make one by `openssl genpkey -algorithm ed25519`, or use --key-command")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("is no Ed25519 key: make one by `openssl genpkey -algorithm ed25519`")
	}
	return key, nil
}

func formatPublicKey(key ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// FileName returns the name of a seal's file.
func FileName(number int) string { return fmt.Sprintf("%06d.seal", number) }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
