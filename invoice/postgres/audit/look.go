package audit

import (
	"context"
	"errors"
	"fmt"
)

// Enforced runs the checks of constraints and triggers alone, which read the catalogue and no row. Its errors are those of [Run].
func Enforced(ctx context.Context, o Options) (checks []Check, err error) {
	o.setDefaults()
	s, err := begin(ctx, o, nil)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	var usable bool // the schema, without the right to which everything would look as if it were missing
	if err := s.tx.QueryRow(ctx, "SELECT coalesce(current_schema() = $1, false)", s.options.Schema).Scan(&usable); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if !usable {
		return nil, fmt.Errorf("audit: there is no schema %q, or its role may not use it", s.options.Schema)
	}
	if checks, err = s.enforced(ctx); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return checks, nil
}
