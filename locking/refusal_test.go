package locking_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/locking"
)

// nowhere is a client that must not be asked.
func nowhere(t *testing.T) redis.UniversalClient {
	t.Helper()
	return connect(t, redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}, MaxRetries: -1, DialerRetries: 1})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	client := nowhere(t)
	if _, err := locking.New(nil, locking.Options{}); err == nil {
		t.Error("no client: no error")
	}
	for _, opts := range []locking.Options{
		{Prefix: "{a}:"},
		{Prefix: "a{"},
		{Prefix: "a}"},
		{TTL: -time.Second},
		{TTL: time.Millisecond - 1},
		{TTL: time.Minute, MaxTTL: time.Second},
		{MaxTTL: time.Second},
	} {
		if _, err := locking.New(client, opts); err == nil {
			t.Errorf("%+v: no error", opts)
		}
	}
	for _, opts := range []locking.Options{{}, {Prefix: "a:", TTL: time.Millisecond}, {MaxTTL: time.Hour}} {
		if _, err := locking.New(client, opts); err != nil {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

func TestKeysRefused(t *testing.T) {
	t.Parallel()
	locker, err := locking.New(nowhere(t), locking.Options{})
	must(t, err)
	wantRefused := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "the key is empty") {
			t.Errorf("got %v, want a refusal of the key", err)
		}
	}
	_, err = locker.Acquire(t.Context(), "", anna)
	wantRefused(err)
	_, _, err = locker.Holder(t.Context(), "")
	wantRefused(err)
	_, err = locker.Forget(t.Context(), "", "")
	wantRefused(err)
	for _, id := range []string{"", "\xff"} {
		_, err := locker.Acquire(t.Context(), "key", locking.Holder{ID: id})
		if err == nil || !strings.Contains(err.Error(), "holder ID") {
			t.Errorf("%q: got %v, want a refusal of the ID", id, err)
		}
	}
}

func TestErrorsRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{
			&locking.HeldError{Key: "7", Holder: anna, Remaining: 1500 * time.Millisecond},
			`locking: "7" is held by "anna's work" (worker "anna") for another 1.5s`,
		},
		{
			&locking.HeldError{Key: "7", Holder: locking.Holder{ID: "a"}},
			`locking: "7" is held by "a" for another 0s`,
		},
		{
			&locking.HeldError{Key: "7", Remaining: time.Second},
			`locking: "7" is held by an unknown holder for another 1s`,
		},
		{
			&locking.DoneError{Key: "7\n", Value: "4111 1111"},
			`locking: "7\n" is done`,
		},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
