package dispatch_test

import (
	"fmt"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A cost is what a Redis of a test's own has done, and what the test itself has.
type cost struct {
	commands int
	cpu, own time.Duration
}

func (c cost) minus(before cost) cost {
	return cost{c.commands - before.commands, c.cpu - before.cpu, c.own - before.own}
}

func (c cost) String() string {
	return fmt.Sprintf("%d commands in %s of CPU, and this process took %s", c.commands, c.cpu, c.own)
}

func (b *site) redisCost(t testing.TB) cost {
	t.Helper()
	info, err := b.Redis.Info(t.Context(), "stats", "cpu").Result()
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string) float64 {
		n, err := strconv.ParseFloat(regexp.MustCompile(`(?m)^` + name + `:([0-9.]+)`).FindStringSubmatch(info)[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	return cost{
		commands: int(number("total_commands_processed")),
		cpu:      time.Duration((number("used_cpu_sys") + number("used_cpu_user")) * float64(time.Second)),
		own:      time.Duration(own.Utime.Nano() + own.Stime.Nano()),
	}
}
