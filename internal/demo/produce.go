package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"invoicer/invoice"
	"invoicer/worker/client"
)

// The producers that compete, as they do in a real company.
var producers = [...]string{"checkout", "webhook", "nightly-cron", "replay", "support-desk"} //nolint:gochecknoglobals // a constant list

// mistaken is the producer that gets things wrong.
const mistaken = "typo"

// produce has the producers ask, each on a goroutine of its own, and returns what waits for them. The first error of each
// is sent.
func (p *play) produce(ctx context.Context, failed chan<- error) (wait func()) {
	var producing sync.WaitGroup
	for i := range p.Copies {
		producing.Go(func() {
			err := p.askForAll(ctx, i)
			if err == nil && i == 0 {
				err = p.makeMistakes(ctx)
			}
			if err != nil {
				failed <- err
			}
		})
	}
	return producing.Wait
}

// askForAll asks for every transaction once, nearly in order, so that the producers keep meeting.
func (p *play) askForAll(ctx context.Context, number int) error {
	name := producers[number%len(producers)]
	if number >= len(producers) {
		name = fmt.Sprintf("%s-%d", name, number/len(producers)+1)
	}
	send, err := p.sender()
	if err != nil {
		return err
	}
	order := rand.New(rand.NewPCG(uint64(number), 0)) //nolint:gosec // any order will do
	const neighbours = 8
	for chunk := range slices.Chunk(p.Jobs, neighbours) {
		chunk = slices.Clone(chunk)
		order.Shuffle(len(chunk), func(i, j int) { chunk[i], chunk[j] = chunk[j], chunk[i] })
		for _, job := range chunk {
			named := *job
			named.Producer = name
			payload, err := named.Encode()
			if err != nil {
				return err
			}
			if err := send(ctx, payload); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeMistakes sends the mistakes unchecked, as a foreign producer does.
func (p *play) makeMistakes(ctx context.Context) error {
	send, err := p.sender()
	if err != nil {
		return err
	}
	for _, payload := range p.Mistakes {
		if err := send(ctx, payload); err != nil {
			return err
		}
	}
	return nil
}

// sender returns what puts the same job into both queues. The naive one keeps no tasks that have ended: asynq would leave
// them behind when the queue is deleted.
func (p *play) sender() (func(ctx context.Context, payload []byte) error, error) {
	naive, err := client.New(p.Redis, client.Options{Queue: p.naive.queue, Retention: -1})
	if err != nil {
		return nil, err
	}
	ours, err := client.New(p.Redis, client.Options{Queue: p.Queue, Retention: p.Retention})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, payload []byte) error {
		for _, c := range []*client.Client{naive, ours} {
			if _, err := c.EnqueuePayload(ctx, payload); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// Mistakes are what producers get wrong: they ask again with other amounts, or send what no invoice can be made of.
func Mistakes(jobs []*invoice.Job) [][]byte {
	var payloads [][]byte
	for _, job := range jobs[:min(3, len(jobs))] {
		changed := *job
		changed.Producer = mistaken
		changed.Lines = slices.Clone(changed.Lines)
		millionths, _ := changed.Lines[0].Quantity.Millionths()
		changed.Lines[0].Quantity = invoice.NewDecimal(millionths+1, 6)
		if payload, err := changed.Encode(); err == nil {
			payloads = append(payloads, payload)
		}
	}
	for i := range 2 {
		payloads = append(payloads, fmt.Appendf(nil, `{"transaction_id":"%s-bad-%d","producer":"`+mistaken+`","issued_at":"2010-12-01T08:26:00Z","lines":[{"quantity":1,"unit_price":"1.00"}]}`,
			jobs[0].TransactionID, i))
	}
	return payloads
}

// transactions returns the ids, each once.
func transactions(jobs []*invoice.Job) []string {
	ids := make([]string, 0, len(jobs))
	for _, job := range jobs {
		ids = append(ids, job.TransactionID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
