package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

const (
	fileName      = "invoicer.yaml"
	originDefault = "default"
)

// Sources is where [Load] looks. Load itself looks neither at the process's environment nor at its flags.
type Sources struct {
	// File is the file to read, as given by --config. "" means: the one that INVOICER_CONFIG names, else invoicer.yaml
	// in Dir if it exists, else none.
	File string

	// Dir is where invoicer.yaml is looked for; "" is the current directory.
	Dir string

	// Environ is the environment in the form of os.Environ.
	Environ []string

	// Flags may hold any flags; those that [AddFlags] added and that were set on the command line count. It may be nil.
	Flags *pflag.FlagSet

	// Checks are rules that this package can't know. They see a configuration that is valid so far as it could be read,
	// with defaults in place of what couldn't, and their problems are reported together with all others. A problem
	// whose Key already has one is left out.
	Checks []func(*Config) []Problem
}

// A setting is what one source says about one key. It travels through Viper as a whole: Viper alone decides which
// source wins, and the winner says where it came from.
type setting struct {
	text   string
	origin string
}

// Load reads and checks the configuration. The error is an [*Error] with every problem there is.
func Load(src Sources) (*Config, error) {
	env, envProblems := readEnviron(src.Environ)
	file, fileProblems := src.readFile(env.file)
	problems := slices.Concat(fileProblems, envProblems)

	// Viper would lower-case the queues' names, read the process's own environment, and merge the file's queues with
	// the default ones. It is given plain text under known names instead.
	v := viper.New()
	for _, k := range Keys() {
		v.SetDefault(k.Name, setting{k.Default, originDefault})
		if flag := src.changedFlag(k); flag != nil {
			v.Set(k.Name, setting{flag.Value.String(), "flag --" + k.Flag()})
		}
	}
	for _, layer := range []map[string]setting{file, env.settings} {
		if err := v.MergeConfigMap(nested(layer)); err != nil {
			return nil, fmt.Errorf("merge configuration: %w", err)
		}
	}

	cfg := Default()
	bad := make(map[string]bool)
	report := func(p Problem) {
		if !bad[p.Key] {
			p.Source = cmp.Or(p.Source, cfg.Origins[p.Key])
			problems = append(problems, p)
		}
	}
	for _, k := range Keys() {
		s, _ := v.Get(k.Name).(setting)
		cfg.Origins[k.Name] = s.origin
		text := strings.TrimSpace(s.text) // a mounted secret likes to end with a newline
		if err := k.value(&cfg).parse(text); err != nil {
			report(Problem{Key: k.Name, Message: k.describe(text, err)})
			bad[k.Name] = true
		}
	}
	for _, r := range rules() {
		if !bad[r.key] && !bad[r.other] && !r.holds(&cfg) {
			report(Problem{Key: r.key, Message: r.message(&cfg)})
		}
	}
	for _, check := range src.Checks {
		for _, p := range check(&cfg) {
			report(p)
		}
	}
	if len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	return &cfg, nil
}

// describe makes a sentence of the value and what is wrong with it; a secret value is not in it.
func (k Key) describe(text string, err error) string {
	switch {
	case errors.Is(err, errEmpty):
		return err.Error()
	case k.Secret:
		return "the URL " + err.Error()
	case text == "":
		return "the empty value " + err.Error()
	}
	return fmt.Sprintf("%q %s", text, err)
}

func (s Sources) changedFlag(k Key) *pflag.Flag {
	if s.Flags == nil {
		return nil
	}
	if flag := s.Flags.Lookup(k.Flag()); flag != nil && flag.Changed {
		return flag
	}
	return nil
}

// readFile reads the file that the caller, or else the environment, names; else the one in Dir, which may be absent.
func (s Sources) readFile(fromEnv string) (map[string]setting, []Problem) {
	path, origin := s.File, "flag --config"
	if path == "" {
		path, origin = fromEnv, "environment "+envConfig
	}
	optional := path == ""
	if optional {
		path, origin = filepath.Join(s.Dir, fileName), ""
	}
	content, err := os.ReadFile(path)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, []Problem{{Key: path, Source: origin, Message: "the configuration file can't be read: " + err.Error()}}
	}
	return parseFile(path, content)
}

// nested turns names with dots into maps of maps, which is what Viper wants.
func nested(layer map[string]setting) map[string]any {
	tree := make(map[string]any)
	for name, s := range layer {
		section, leaf, _ := strings.Cut(name, ".")
		branch, ok := tree[section].(map[string]any)
		if !ok {
			branch = make(map[string]any)
			tree[section] = branch
		}
		branch[leaf] = s
	}
	return tree
}
