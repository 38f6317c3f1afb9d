package main

import (
	"io"
	"log/slog"

	"invoicer/config"
	"invoicer/internal/term"
)

// newLogger returns a logger to w in the configured format. Default: text if w is a terminal, else JSON.
func newLogger(cfg config.Log, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "text" || cfg.Format == "" && term.IsTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
