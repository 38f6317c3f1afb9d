package mail

import (
	"context"
	"net"
)

// LeadTo has the name of the server lead to an address, as DNS would.
func (m *Mailer) LeadTo(address string) {
	m.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}
