package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A fact about the machine and what runs on it.
type fact struct{ Name, Value string }

// describe says what the figures depend on.
func (b *bench) describe(ctx context.Context) ([]fact, error) {
	facts := []fact{
		{"measured", time.Now().UTC().Format("2006-01-02 15:04 UTC") + revision(ctx)},
		{"machine", machine()},
		{"Go", strings.TrimPrefix(runtime.Version(), "go") + ", GOMAXPROCS " + strconv.Itoa(runtime.GOMAXPROCS(0))},
		{"libraries", libraries()},
	}
	settings := []string{"fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "max_connections"}
	var version string
	if err := b.db.QueryRow(ctx, "SHOW server_version").Scan(&version); err != nil {
		return nil, err
	}
	for i, name := range settings {
		var value string
		if err := b.db.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return nil, err
		}
		settings[i] = name + " " + value
	}
	commit, err := commitTime(ctx, b.db)
	if err != nil {
		return nil, err
	}
	facts = append(facts,
		fact{"Postgres", version + ": " + strings.Join(settings, ", ")},
		fact{"one commit", fmt.Sprintf("%.2f ms, of a transaction of one row by itself", commit.Seconds()*1000)})

	info, err := b.rdb.Info(ctx, "server").Result()
	if err != nil {
		return nil, err
	}
	values := []string{infoField(info, "redis_version")}
	for _, name := range []string{"appendonly", "appendfsync", "save"} {
		if got, err := b.rdb.ConfigGet(ctx, name).Result(); err == nil { // not every Redis tells
			values = append(values, fmt.Sprintf("%s %q", name, got[name]))
		}
	}
	return append(facts, fact{"Redis", strings.Join(values, ", ")}), nil
}

// commitTime is the median time that one small transaction takes.
func commitTime(ctx context.Context, db *pgxpool.Pool) (time.Duration, error) {
	c, err := db.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Release()
	const table = schema + ".commits"
	if _, err := c.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema+"; CREATE TABLE "+table+" (n integer)"); err != nil {
		return 0, err
	}
	times := make([]time.Duration, 200)
	for i := range times {
		begun := time.Now()
		if _, err := c.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", i); err != nil {
			return 0, err
		}
		times[i] = time.Since(begun)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func machine() string {
	text := fmt.Sprintf("%d cores", runtime.NumCPU())
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, model, found := strings.Cut(string(content), "model name"); found {
			model, _, _ = strings.Cut(model, "\n")
			text += ", " + strings.TrimLeft(model, "\t :")
		}
	}
	if content, err := os.ReadFile("/proc/meminfo"); err == nil {
		_, total, _ := strings.Cut(string(content), "MemTotal:")
		total, _, _ = strings.Cut(total, "kB")
		if kilobytes, err := strconv.Atoi(strings.TrimSpace(total)); err == nil {
			text += fmt.Sprintf(", %d GB of memory", kilobytes>>20)
		}
	}
	return text + "; worker, Redis and Postgres share them"
}

// libraries are the contestants' versions.
func libraries() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var list []string
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/hibiken/asynq", "github.com/riverqueue/river", "github.com/redis/go-redis/v9", "github.com/jackc/pgx/v5", "gorm.io/gorm":
			list = append(list, strings.TrimPrefix(m.Path, "github.com/")+" "+m.Version)
		}
	}
	return strings.Join(list, ", ")
}

// revision names the commit that was measured, where this is a checkout.
func revision(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return ", revision " + strings.TrimSpace(string(out))
}
