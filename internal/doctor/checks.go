package doctor

// A Check is what a finding can be about.
type Check struct {
	Name     string
	Promises []int // that its findings endanger
}

// Checks returns everything that is looked at, in the order of the documentation. Names stay as they are.
func Checks() []Check {
	every := []int{1, 2, 3, 7}
	return []Check{
		{"reachable", []int{6}},
		{"durability", every},
		{"read_only", []int{6}},
		{"schema", every},
		{"rights", []int{6}},
		{"constraints", []int{1, 2, 3, 4, 7}},
		{"triggers", []int{3, 7}},
		{"series", []int{3, 6}},
		{"commits", []int{2, 6}},
		{"witness", []int{3, 6}},
		{"eviction", []int{2, 5}},
		{"memory", []int{6}},
		{"commands", []int{6}},
		{"writes", []int{6}},
		{"cluster", []int{6}},
		{"owner", []int{9}},
		{"paused", []int{6}},
		{"role", []int{7}},
		{"standby", []int{2, 3}},
		{"lag", []int{2, 3}},
		{"replica", []int{2}},
		{"persistence", []int{2}},
		{"encryption", []int{8}},
		{"pooler", []int{6}},
		{"connections", []int{6}},
		{"clock", []int{6}},
		{"bloat", []int{6}},
		{"consumers", []int{6}},
		{"versions", []int{6}},
		{"settings", []int{6}},
		{"endpoints", []int{6}},
		{"events", []int{6}},
		{"dead_events", []int{6}},
		{"email", []int{6}},
		{"documents", []int{6}},
	}
}
