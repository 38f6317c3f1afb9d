package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/report"
)

// Tokens holds who may use the pages and the API: the hashes of tokens, with their roles and issuers. A row is never deleted.
type Tokens struct{ *core }

// ErrNoToken says that no token of that name exists that isn't revoked.
var ErrNoToken = errors.New("no such token")

// A TokenExistsError says that a name belongs to a token already.
type TokenExistsError struct {
	Name    string
	Expired bool // the token has expired, but isn't revoked
}

func (e *TokenExistsError) Error() string { return "there is a token " + e.Name + " already" }

// A NewToken is a token to be made.
type NewToken struct {
	Name     string
	Hash     [32]byte      // what is kept in the token's place
	Roles    []string      // at least one, of read, operate and enqueue
	Issuers  []string      // whose data it shows, nil for all; "" is the issuer without a name
	Producer string        // "" if its jobs may name any producer
	Lifetime time.Duration // 0 if it doesn't expire
	By       string        // who makes it
}

// Make stores a token. It returns a [*TokenExistsError] if another token has the name. Making the same token again
// changes nothing.
func (s *Tokens) Make(ctx context.Context, t NewToken) error {
	var roles array
	for _, role := range t.Roles {
		roles.text(role)
	}
	var seconds *float64
	if t.Lifetime > 0 {
		lifetime := t.Lifetime.Seconds()
		seconds = &lifetime
	}
	var rows int64
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		made := db.Exec(`
INSERT INTO invoicer.tokens (name, hash, roles, issuers, producer, created_by, expires_at)
VALUES (?, ?, ?::text[], ?::text[], ?, ?, now() + make_interval(secs => ?)) ON CONFLICT DO NOTHING`,
			t.Name, t.Hash[:], &roles, textsOrNull(t.Issuers), nullable(t.Producer), storable(t.By), seconds)
		rows = made.RowsAffected
		return made.Error
	})
	if err != nil || rows == 1 {
		return classify(err)
	}
	var there []struct{ Same, Expired bool }
	err = s.db.WithContext(ctx).Raw(`
SELECT hash = ? AS same, coalesce(expires_at <= now(), false) AS expired
FROM invoicer.tokens WHERE name = ? AND revoked_at IS NULL`, t.Hash[:], t.Name).Scan(&there).Error
	switch {
	case err != nil:
		return classify(err)
	case len(there) == 0:
		return fmt.Errorf("token %s was revoked at this moment", t.Name)
	case there[0].Same:
		return nil
	}
	return &TokenExistsError{Name: t.Name, Expired: there[0].Expired}
}

// Revoke revokes the token of that name. It returns [ErrNoToken] if there is none, or only revoked ones.
func (s *Tokens) Revoke(ctx context.Context, name, by string) error {
	var rows int64
	err := s.autocommit(ctx, func(db *gorm.DB) error {
		revoked := db.Exec(`
UPDATE invoicer.tokens SET revoked_at = now(), revoked_by = ? WHERE name = ? AND revoked_at IS NULL`, storable(by), name)
		rows = revoked.RowsAffected
		return revoked.Error
	})
	if err == nil && rows == 0 {
		return ErrNoToken
	}
	return classify(err)
}

// List returns up to limit tokens: first those that aren't revoked, then the others, each the newest first.
func (s *Tokens) List(ctx context.Context, limit int) ([]report.Token, error) {
	var rows []struct { // GORM has no type for the roles of a report.Token, and would say so on standard output
		Name, RoleList           string
		IssuerList, Producer     *string
		CreatedAt                time.Time
		CreatedBy, CreatedByRole string
		ExpiresAt                *time.Time
		Expired                  bool
		RevokedAt                *time.Time
		RevokedBy, RevokedByRole *string
	}
	err := s.db.WithContext(ctx).Raw(`
SELECT name, array_to_string(roles, ',') AS role_list, array_to_string(issuers, ',') AS issuer_list, producer, created_at, created_by, created_by_role,
    expires_at, coalesce(expires_at <= now(), false) AS expired, revoked_at, revoked_by, revoked_by_role
FROM invoicer.tokens ORDER BY revoked_at IS NOT NULL, id DESC LIMIT ?`, limit).Scan(&rows).Error
	list := make([]report.Token, len(rows))
	for i, r := range rows {
		list[i] = report.Token{
			Name: r.Name, Roles: strings.Split(r.RoleList, ","), Issuers: issuersOf(r.IssuerList), Producer: r.Producer, CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy,
			CreatedByRole: r.CreatedByRole, ExpiresAt: r.ExpiresAt, Expired: r.Expired, RevokedAt: r.RevokedAt, RevokedBy: r.RevokedBy,
			RevokedByRole: r.RevokedByRole,
		}
	}
	return list, classify(err)
}

// An ActiveToken is a token that is neither revoked nor expired.
type ActiveToken struct {
	ID       int64
	Name     string
	Hash     [32]byte
	Roles    []string
	Issuers  []string // whose data it shows, nil for all; "" is the issuer without a name
	Producer string
	Expires  bool
	Left     time.Duration // if it expires: how much longer it is valid, by the database's clock
}

// Active returns all tokens that are valid now.
func (s *Tokens) Active(ctx context.Context) ([]ActiveToken, error) {
	var rows []struct {
		ID                   int64
		Name, RoleList       string
		Hash                 []byte
		IssuerList, Producer *string
		Left                 *float64
	}
	err := s.db.WithContext(ctx).Raw(`
SELECT id, name, hash, array_to_string(roles, ',') AS role_list, array_to_string(issuers, ',') AS issuer_list, producer, extract(epoch FROM expires_at - clock_timestamp())::float8 AS left
FROM invoicer.tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())`).Scan(&rows).Error
	list := make([]ActiveToken, len(rows))
	for i, r := range rows {
		list[i] = ActiveToken{ID: r.ID, Name: r.Name, Roles: strings.Split(r.RoleList, ","), Issuers: issuersOf(r.IssuerList), Producer: text(r.Producer)}
		copy(list[i].Hash[:], r.Hash)
		if r.Left != nil {
			list[i].Expires, list[i].Left = true, time.Duration(*r.Left*float64(time.Second))
		}
	}
	return list, classify(err)
}

// issuersOf returns the issuers in a list, nil if there is none. An empty list is that of the issuer without a name.
func issuersOf(list *string) []string {
	if list == nil {
		return nil
	}
	return strings.Split(*list, ",")
}
