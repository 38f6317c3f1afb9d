package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

// cpu is processor time in seconds, by who used it.
type cpu struct {
	Worker, Postgres, Redis float64
}

func (c cpu) minus(o cpu) cpu {
	return cpu{c.Worker - o.Worker, c.Postgres - o.Postgres, c.Redis - o.Redis}
}

// per turns what n jobs took into what m would.
func (c cpu) per(n, m int) cpu {
	f := float64(m) / float64(n)
	return cpu{c.Worker * f, c.Postgres * f, c.Redis * f}
}

func (c cpu) total() float64 { return c.Worker + c.Postgres + c.Redis }

// programs are the servers' processes, where they run on this machine and can be looked at; else 0.
type programs struct {
	postgres, redis int
	workers         []int // processes that do the worker's part, where this one doesn't
}

// findPrograms asks the servers for their process ids, and believes them where such a program runs here.
func findPrograms(ctx context.Context, db *pgxpool.Pool, rdb redis.UniversalClient) (p programs, err error) {
	c, err := db.Acquire(ctx)
	if err != nil {
		return p, err
	}
	defer c.Release()
	var backend int
	if err := c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return p, err
	}
	if s, err := readStat(backend); err == nil && strings.HasPrefix(s.name, "postgres") {
		p.postgres = s.parent
	}
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		return p, err
	}
	if pid, err := strconv.Atoi(infoField(info, "process_id")); err == nil {
		if s, err := readStat(pid); err == nil && strings.HasPrefix(s.name, "redis") {
			p.redis = pid
		}
	}
	return p, nil
}

func infoField(info, name string) string {
	_, value, _ := strings.Cut(info, name+":")
	value, _, _ = strings.Cut(value, "\r\n")
	return value
}

// cpu is what all three have used since they started.
func (p programs) cpu() cpu {
	own := ownCPU()
	if len(p.workers) > 0 {
		own = 0
		for _, pid := range p.workers {
			own += statCPU(pid)
		}
	}
	return cpu{Worker: own, Postgres: p.postgresCPU(), Redis: statCPU(p.redis)}
}

func ownCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// postgresCPU adds up the server, its living children, and those that have ended.
func (p programs) postgresCPU() float64 {
	s, err := readStat(p.postgres)
	if err != nil {
		return 0
	}
	sum := s.cpu + s.endedChildren
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if child, err := readStat(pid); err == nil && child.parent == p.postgres {
			sum += child.cpu
		}
	}
	return sum
}

func statCPU(pid int) float64 {
	s, _ := readStat(pid) // nothing is known of it then
	return s.cpu
}

type stat struct {
	name               string
	parent             int
	cpu, endedChildren float64 // seconds
}

// ticks is how many of its units the kernel counts in a second; it is the same on all of them.
const ticks = 100

func readStat(pid int) (stat, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The name is in parentheses, and may hold anything.
	open, closing := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	if open < 0 || closing < open {
		return stat{}, fmt.Errorf("/proc/%d/stat: %q", pid, content)
	}
	fields := strings.Fields(string(content[closing+1:]))
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("/proc/%d/stat: %q", pid, content)
	}
	number := func(i int) float64 {
		n, _ := strconv.ParseFloat(fields[i], 64)
		return n
	}
	return stat{
		name: string(content[open+1 : closing]), parent: int(number(1)),
		cpu: (number(11) + number(12)) / ticks, endedChildren: (number(13) + number(14)) / ticks,
	}, nil
}

// peakMemory is the most that this process has had in memory, in MB; 0 where the system doesn't tell.
func peakMemory() float64 {
	content, _ := os.ReadFile("/proc/self/status")
	_, value, _ := strings.Cut(string(content), "VmHWM:")
	value, _, _ = strings.Cut(value, "kB")
	n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return n / 1024
}

// machineCPU is what everything on this machine has used since it started, in seconds, and for how long its cores were there together. It is 0 where the
// system doesn't tell.
func machineCPU() (busy, all float64) {
	content, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(content), "\n")
	for i, field := range strings.Fields(line) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 8 { // what guests used is in another field, too
			continue
		}
		all += n / ticks
		if i != 4 && i != 5 { // idle, and waiting for a disk
			busy += n / ticks
		}
	}
	return busy, all
}

// A watch knows what share of the machine others use, so that figures of a busy one aren't taken for those of a quiet one.
type watch struct {
	programs  programs
	own       cpu
	self      float64
	busy, all float64
}

func (p programs) watch() watch {
	w := watch{programs: p, own: p.cpu(), self: ownCPU()}
	w.busy, w.all = machineCPU()
	return w
}

// others is that share since the watch began.
func (w watch) others() float64 {
	busy, all := machineCPU()
	if all -= w.all; all <= 0 {
		return 0
	}
	ours := w.programs.cpu().minus(w.own).total()
	if len(w.programs.workers) > 0 {
		ours += ownCPU() - w.self
	}
	return max(0, (busy-w.busy-ours)/all)
}
