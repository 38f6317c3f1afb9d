package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/config"
)

func (a app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration that applies, and where each value comes from",
		GroupID: groupSetup,
		Args:    noArgs,
		Example: `  invoicer config
  invoicer config --example > invoicer.yaml
  INVOICER_LOCK_TTL=30s invoicer config --json | jq .lock.ttl`,
	}
	addJSONFlag(cmd)
	example := cmd.Flags().Bool("example", false, "print a file with every key, its default and its meaning instead")
	addConfigFlags(cmd, "worker", "lock", "idempotency", "numbering", "retention", "http", "metrics")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *example && wantsJSON(cmd) {
			return usageErrorf("--example and --json don't go together: an example is YAML; leave one of them out")
		}
		if *example {
			_, err := cmd.OutOrStdout().Write(config.Example())
			return err
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, cfg)
		}
		_, err = cmd.OutOrStdout().Write(cfg.YAML())
		return err
	}
	return cmd
}

// printJSON writes a value to the command's output as indented JSON.
func printJSON(cmd *cobra.Command, v any) error {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := cmd.OutOrStdout().Write(printable(encoded.Bytes()))
	return err
}

// printable returns JSON, or a line of a log, with escapes in place of characters that aren't printable: one might control the terminal, or turn the
// direction of a text.
func printable(encoded []byte) []byte {
	odd := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if !bytes.ContainsFunc(encoded, odd) {
		return encoded
	}
	clean := make([]byte, 0, len(encoded)+64)
	for _, r := range string(encoded) {
		switch {
		case !odd(r):
			clean = utf8.AppendRune(clean, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			clean = fmt.Appendf(clean, "\\u%04x\\u%04x", high, low)
		default:
			clean = fmt.Appendf(clean, "\\u%04x", r)
		}
	}
	return clean
}
