package report

import "time"

// A Token is a token's row, without its hash.
type Token struct {
	Name          string     `json:"name"`
	Roles         []string   `json:"roles"`
	Issuers       []string   `json:"issuers"`  // whose data it shows; null for all, "" is the one without a name
	Producer      *string    `json:"producer"` // the only producer that its jobs may name; null if any
	CreatedAt     time.Time  `json:"created_at"`
	CreatedBy     string     `json:"created_by"`      // as stated
	CreatedByRole string     `json:"created_by_role"` // of the database
	ExpiresAt     *time.Time `json:"expires_at"`
	Expired       bool       `json:"expired"`
	RevokedAt     *time.Time `json:"revoked_at"`
	RevokedBy     *string    `json:"revoked_by"`
	RevokedByRole *string    `json:"revoked_by_role"`
}
