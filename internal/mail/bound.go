package mail

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
)

// mostSaid is how many bytes a server may say at each step, TLS included. Sane ones need a few thousand.
const mostSaid = 256 << 10

// errTooMuch says that a server talks on and on: what it says is kept until its end, which needn't come.
var errTooMuch = errors.New("the server says more than is sane")

// A bounded connection takes so many bytes from the other side, until it is allowed more.
type bounded struct {
	net.Conn

	left atomic.Int64
}

// allow lets the other side say that many bytes from now on.
func (b *bounded) allow(bytes int64) { b.left.Store(bytes) }

// Read fails with errTooMuch where more is to be read than is allowed.
func (b *bounded) Read(to []byte) (int, error) {
	left := b.left.Load()
	if left <= 0 {
		return 0, fmt.Errorf("%w: %d bytes at one step", errTooMuch, mostSaid)
	}
	n, err := b.Conn.Read(to[:min(int64(len(to)), left)])
	b.left.Add(-int64(n))
	return n, err
}
