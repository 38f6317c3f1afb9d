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

const fileName = "invoicer.yaml"

// OriginDefault is the origin of a value that nothing states.
const OriginDefault = "default"

// Sources are what [Load] reads. Load itself reads neither the process's environment nor its flags.
type Sources struct {
	// File is the file to read, as given by --config. Default: the file that INVOICER_CONFIG names, else
	// invoicer.yaml in Dir if it exists, else none.
	File string

	// Dir is the directory of invoicer.yaml. Default: the current directory.
	Dir string

	// Environ is the environment in the form of os.Environ.
	Environ []string

	// Flags may hold any flags. Load reads those that [AddFlags] added and that were set on the command line. Flags
	// may be nil.
	Flags *pflag.FlagSet

	// Checks are further rules, which this package can't know. They get a valid configuration, with defaults in place
	// of the values that couldn't be read. Their problems are reported together with all others; a problem is left
	// out if its Key already has one.
	Checks []func(*Config) []Problem
}

// A setting is the value of one key in one source. Viper gets it as a whole: Viper decides which source wins, and the
// winning setting names its source.
type setting struct {
	text   string
	origin string
}

// Load reads and checks the configuration. The error is an [*Error] that names every problem.
func Load(src Sources) (*Config, error) {
	env, envProblems := readEnviron(src.Environ)
	file, fileProblems := src.readFile(env.file)
	problems := slices.Concat(fileProblems, envProblems)

	// Viper gets plain text under known names. By itself it would lower-case the queues' names, read the process's
	// environment, and merge the file's queues with the default ones.
	v := viper.New()
	for _, k := range Keys() {
		v.SetDefault(k.Name, setting{k.Default, OriginDefault})
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
		text := strings.TrimSpace(s.text) // a mounted secret often ends with a newline
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
	for _, check := range append([]func(*Config) []Problem{tlsProblems, oidcProblems, storeProblems, linkProblems}, src.Checks...) {
		for _, p := range check(&cfg) {
			report(p)
		}
	}
	if len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	return &cfg, nil
}

// describe returns a sentence with the value and what is wrong with it. It leaves out a secret value.
func (k Key) describe(text string, err error) string {
	switch {
	case errors.Is(err, errEmpty):
		return err.Error()
	case k.Secret:
		if kind, _ := k.value(&Config{}).form(); kind == "url" {
			return "the URL " + err.Error()
		}
		return "the value " + err.Error()
	case text == "":
		return "the empty value " + err.Error()
	}
	return fmt.Sprintf("%q %s", text, err)
}

func (s Sources) changedFlag(k Key) *pflag.Flag {
	if s.Flags == nil {
		return nil
	}
	if flag := s.Flags.Lookup(k.Flag()); flag != nil && flag.Changed && isOurs(flag.Value) {
		return flag
	}
	return nil
}

// readFile reads the file that the caller names, or else the environment; else invoicer.yaml in Dir, which may be
// absent.
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

// nested turns names with dots into maps of maps, as Viper expects.
func nested(layer map[string]setting) map[string]any {
	tree := make(map[string]any)
	for name, s := range layer {
		plant(tree, strings.Split(name, "."), s)
	}
	return tree
}

// plant puts a value into a map of maps, and adds the maps on its path.
func plant(tree map[string]any, path []string, value any) {
	last := len(path) - 1
	for _, part := range path[:last] {
		branch, ok := tree[part].(map[string]any)
		if !ok {
			branch = make(map[string]any)
			tree[part] = branch
		}
		tree = branch
	}
	tree[path[last]] = value
}
