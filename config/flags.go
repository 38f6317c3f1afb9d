package config

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// AddFlags adds a flag for each key of the given sections, such as "lock" or "redis". It panics if there is no such
// section, as pflag panics if a program defines its flags wrongly.
//
// The flags accept any text. [Load] checks it, so that a bad flag is reported together with all other problems.
func AddFlags(flags *pflag.FlagSet, sections ...string) {
	for _, section := range sections {
		if !slices.ContainsFunc(Keys(), func(k Key) bool { return k.Section() == section }) {
			panic(fmt.Sprintf("config: no section %q", section)) //nolint:forbidigo // a mistake in the program, not in its input
		}
	}
	for _, k := range Keys() {
		if slices.Contains(sections, k.Section()) {
			kind, _ := k.Form()
			flags.Var(&flagText{text: k.Default, kind: kind}, k.Flag(), k.Doc)
		}
	}
}

// isOurs reports whether [AddFlags] added a flag: a command may have another one of that name.
func isOurs(value pflag.Value) bool {
	_, ok := value.(*flagText)
	return ok
}

type flagText struct{ text, kind string }

func (f *flagText) String() string { return f.text }
func (f *flagText) Type() string   { return f.kind }

func (f *flagText) Set(text string) error {
	f.text = text
	return nil
}
