package main

import (
	"io"
	"log/slog"

	"invoicer/config"
	"invoicer/internal/term"
)

// newLogger returns a logger to w in the configured format. Default: text if w is a terminal, else JSON. Each line that it writes is
// one line of printable text, whatever the values hold.
func newLogger(cfg config.Log, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "text" || cfg.Format == "" && term.IsTerminal(w) {
		return slog.New(slog.NewTextHandler(printableLines{w}, options))
	}
	return slog.New(slog.NewJSONHandler(printableLines{w}, options))
}

// printableLines passes on what slog's handlers write, with escapes for characters that aren't printable. The handlers themselves
// escape newlines and escape characters, but both write DEL as it is, and the one for JSON also the C1 controls, which terminals
// obey, and characters that turn the direction of text.
type printableLines struct{ to io.Writer }

func (p printableLines) Write(line []byte) (int, error) {
	if _, err := p.to.Write(printable(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
