package report

import "time"

// An Issuer is one version of what is known of a legal entity that issues invoices: what holds, or held, and who has changed what.
type Issuer struct {
	Issuer    string    `json:"issuer"` // its code
	Version   int       `json:"version"`
	Name      *string   `json:"name"`
	Address   *string   `json:"address"` // the lines above the postcode
	Postcode  *string   `json:"postcode"`
	City      *string   `json:"city"`
	Region    *string   `json:"region"`
	Country   *string   `json:"country"` // of two letters
	VATID     *string   `json:"vat_id"`
	TaxID     *string   `json:"tax_id"`
	Register  *string   `json:"register"` // where it is registered, and as what
	Currency  *string   `json:"currency"`
	Timezone  *string   `json:"timezone"`
	Change    string    `json:"change"`
	ChangedAt time.Time `json:"changed_at"`
	Actor     string    `json:"actor"`
	Role      string    `json:"role"` // by which the database knows the actor
	Note      *string   `json:"note"`
}
