package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	envPrefix = "INVOICER_"
	envConfig = envPrefix + "CONFIG"
)

// Environ returns the variables by which another process of this program gets the same configuration, with its passwords.
func (c *Config) Environ() []string {
	var vars []string
	for _, k := range Keys() {
		vars = append(vars, k.Env()+"="+written(k.value(c)))
	}
	return vars
}

// written returns a value as it is written in a variable.
func written(v value) string {
	switch v := v.(type) {
	case checked[URL]:
		return string(*v.p)
	case checked[Secret]:
		return string(*v.p)
	case sectionList:
		return v.written()
	case list:
		return strings.Join(*v.p, ",")
	case weights:
		var pairs []string
		for _, name := range v.names() {
			pairs = append(pairs, fmt.Sprintf("%s=%d", name, (*v.p)[name]))
		}
		return strings.Join(pairs, ",")
	}
	return fmt.Sprint(v.native())
}

type environ struct {
	file     string // INVOICER_CONFIG
	settings map[string]setting
}

// readEnviron returns the variables that set a key; a variable that is set but empty counts. A variable that begins
// like a section's but sets no key is a problem: it may be a typo, and the default would silently apply.
func readEnviron(vars []string) (environ, []Problem) {
	keys := make(map[string]Key)
	for _, k := range Keys() {
		keys[k.Env()] = k
	}
	names := slices.Sorted(maps.Keys(keys))

	env := environ{settings: make(map[string]setting)}
	unknown := make(map[string]Problem)
	for _, pair := range vars {
		name, text, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours {
			continue
		}
		firstWord, _, _ := strings.Cut(strings.ToLower(rest), "_")
		if k, ok := keys[name]; ok {
			env.settings[k.Name] = setting{text, "environment " + name}
		} else if name == envConfig {
			env.file = text
		} else if isSection(firstWord) && !isServiceVariable(name, text) {
			unknown[name] = Problem{Key: name, Source: "environment", Message: "unknown variable" + hint(name, envPrefix+strings.ToUpper(firstWord)+"_", names)}
		}
	}
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		problems = append(problems, unknown[name])
	}
	return env, problems
}

// isServiceVariable reports whether the variable is like those by which Kubernetes describes services. It describes a
// service called invoicer-redis to every container of the namespace, as INVOICER_REDIS_SERVICE_HOST,
// INVOICER_REDIS_PORT=tcp://10.0.0.1:6379 and INVOICER_REDIS_PORT_6379_TCP_ADDR.
func isServiceVariable(name, text string) bool {
	if regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`).MatchString(name) {
		return true
	}
	return strings.HasSuffix(name, "_PORT") && regexp.MustCompile(`^(tcp|udp|sctp)://`).MatchString(text)
}
