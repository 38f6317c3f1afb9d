package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"invoicer/config"
	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// settleNumbering returns an error if the configuration states another numbering than a series has that took it from a configuration,
// or if the default series can't be numbered as configured. Series of an earlier release take their settings from it now.
func settleNumbering(ctx context.Context, cfg *config.Config, numbering *invoice.Numbering, store *postgres.DB, log *slog.Logger) error {
	configured, err := store.Series.Configured(ctx)
	if err != nil {
		return err
	}
	for _, v := range configured {
		if err := contradiction(cfg, v); err != nil {
			return err
		}
	}
	unsettled, err := store.Series.Unsettled(ctx)
	if err != nil {
		return err
	}
	name, _ := numbering.SeriesOf("", invoice.KindInvoice)
	standard := invoice.SeriesID{Name: name}
	for _, id := range slices.SortedFunc(maps.Keys(unsettled), invoice.SeriesID.Compare) {
		_, err := store.Series.Make(ctx, numbering.First(id, unsettled[id]), false)
		switch {
		case err == nil:
			log.Info("a series of an earlier release took its settings from the configuration", "series", id)
		case !errors.As(err, new(*invoice.InvalidError)):
			return err
		case id == standard:
			return invalidSeries(id.Name, err)
		default:
			log.Warn("a series of an earlier release can't be numbered as configured; its jobs will be invalid", "series", id, "error", err)
		}
	}
	_, err = store.Series.Settings(ctx, standard)
	if errors.Is(err, invoice.ErrNoSeries) {
		_, err = store.Series.Make(ctx, numbering.First(standard, invoice.KindInvoice), true)
	}
	if errors.As(err, new(*invoice.InvalidError)) {
		return invalidSeries(standard.Name, err)
	}
	return err
}

func invalidSeries(name string, err error) error {
	return fmt.Errorf("numbering.invoice_series is %s: %w", name, err)
}

// contradiction returns an error if the configuration states a numbering that isn't that of a series which took it from a
// configuration.
func contradiction(cfg *config.Config, v report.SeriesVersion) error {
	id := invoice.SeriesID{Issuer: v.Issuer, Name: v.Series}
	for _, k := range []struct{ key, flag, stated, is string }{
		{"numbering.format", "format", cfg.Numbering.Format, v.Format},
		{"numbering.period", "period", cfg.Numbering.Period, v.Period},
		{"numbering.timezone", "timezone", cfg.Numbering.Timezone, v.Timezone},
	} {
		if origin := cfg.Origins[k.key]; origin == "" || origin == config.OriginDefault || k.stated == k.is {
			continue
		}
		return usageErrorf("%s is %s (%s), but series %s is numbered by %s: take the key out, or change the series by `invoicer series set %s --%s %s`",
			k.key, k.stated, cfg.Origins[k.key], id, cmp.Or(k.is, "-"), id.Args(), k.flag, quoted(k.stated))
	}
	return nil
}

// quoted quotes a word for a shell.
func quoted(word string) string { return "'" + word + "'" }
