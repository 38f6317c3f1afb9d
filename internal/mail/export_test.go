package mail

import (
	"context"
	"errors"
	"net"
	"net/textproto"
	"strconv"
)

// LeadTo has the name of the server lead to an address, as DNS would.
func (m *Mailer) LeadTo(address string) {
	m.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

// Refused returns what is made of an answer to a command.
func Refused(stage Stage, answer string) *RefusedError {
	code, err := strconv.Atoi(answer[:3])
	if err != nil {
		panic(err)
	}
	refused, _ := errors.AsType[*RefusedError](answered(stage, &textproto.Error{Code: code, Msg: answer[4:]}))
	return refused
}
