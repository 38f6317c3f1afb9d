package doctor

import (
	"context"

	"invoicer/internal/await"
)

// examineMail asks the server that sends e-mail to encrypt, and signs in. It sends none.
func examineMail(ctx context.Context, o Options, r *Report) {
	if o.Mail == nil {
		return
	}
	if err := o.within(ctx, o.Mail); err != nil {
		r.find(Finding{
			Check: "email", Level: Warning, Server: o.MailName, Setting: "documents.email", What: "no e-mail can be sent: " + await.OneLine(err),
			Remedy: "start the server, or correct documents.email; what is to be sent waits meanwhile",
		})
	}
}
