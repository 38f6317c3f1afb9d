package given

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// A Recollection is what is remembered of numbers above a counter.
type Recollection struct {
	Slot    invoice.SlotKey
	Counter int64
	Numbers []postgres.Reserved // those above the counter, without a gap, in their order
}

// Known counts the numbers whose transaction is known.
func (r *Recollection) Known() (n int) {
	for i := range r.Numbers {
		if r.Numbers[i].TransactionID != "" {
			n++
		}
	}
	return n
}

// mostRecalled bounds the numbers that one series and period can have lost: more speak of a wrong Redis or a wrong database.
const mostRecalled = 1_000_000

// A Record is what has documents outside of both servers.
type Record struct {
	Source string // what it is, such as witness
	// Each hands over each document, with its place there. Its date may be unknown.
	Each func(ctx context.Context, each func(m invoice.Made, place func() string)) error
}

// Recall returns what records, the done entries and the memory of an installation know of the numbers of a series above its counters.
//
// A number that is known to have been given to two transactions is nobody's: either customer may hold it. So is a further number of one
// transaction. Their sources name them.
func Recall(ctx context.Context, rdb redis.UniversalClient, records []Record, databaseID string, id invoice.SeriesID, counters []postgres.Counter) ([]Recollection, error) {
	highest, err := Highest(ctx, rdb, databaseID)
	if err != nil {
		return nil, err
	}
	found := make(map[invoice.SlotKey]*Recollection)
	for _, c := range counters {
		found[c.SlotKey] = &Recollection{Slot: c.SlotKey, Counter: max(c.Last, c.FirstNumber-1)}
	}
	remembered := make(map[invoice.SlotKey]map[int64]postgres.Reserved)
	last := make(map[invoice.SlotKey]claim)
	for slot, number := range highest {
		if slot.ID() == id {
			last[slot] = claim{number, "the highest number in Redis", fmt.Sprintf("the field %q of the hash %s in Redis", field(slot), Key(databaseID))}
		}
	}
	know := func(slot invoice.SlotKey, one postgres.Reserved, place func() string) {
		if r := found[slot]; slot.ID() != id || r != nil && one.Number <= r.Counter {
			return
		}
		if remembered[slot] == nil {
			remembered[slot] = make(map[int64]postgres.Reserved)
		}
		if one.Number > last[slot].number {
			last[slot] = claim{one.Number, "below the highest number of the " + one.Source, place()}
		}
		if before, ok := remembered[slot][one.Number]; ok {
			one = agree(before, one)
		}
		remembered[slot][one.Number] = one
	}
	for _, record := range records {
		err := record.Each(ctx, func(m invoice.Made, place func() string) {
			know(m.SlotKey, postgres.Reserved{Number: m.Number, TransactionID: m.TransactionID, InvoiceNumber: m.InvoiceNumber, Date: m.Date, Source: record.Source}, place)
		})
		if err != nil {
			return nil, err
		}
	}
	err = doneEntries(ctx, rdb, databaseID, id.Issuer, func(ref invoice.Ref, n invoice.Numbered) {
		know(n.SlotKey, postgres.Reserved{Number: n.Number, TransactionID: ref.TransactionID, InvoiceNumber: ref.Number, Date: n.Date, Source: "done entry in Redis"}, func() string {
			return fmt.Sprintf("the done entry of transaction_id %q in Redis", ref.TransactionID)
		})
	})
	if err != nil {
		return nil, err
	}
	for slot, highest := range last {
		r := found[slot]
		if r == nil {
			r = &Recollection{Slot: slot}
			found[slot] = r
		}
		if highest.number-r.Counter > mostRecalled {
			return nil, fmt.Errorf("series %s: number %d is remembered by %s, and the counter is at %d. More than %d lost numbers can't be right: "+
				"see whether this is the Redis, the witness and the seals of this database, or whether another program has written that, and delete it then", id, highest.number, highest.place, r.Counter, mostRecalled)
		}
		numberOf := make(map[string]int64)
		for number := r.Counter + 1; number <= highest.number; number++ {
			one, ok := remembered[slot][number]
			if !ok {
				one = postgres.Reserved{Number: number, Source: highest.source}
			}
			if first := numberOf[one.TransactionID]; first > 0 {
				one.Source = brief(fmt.Sprintf("%s: of %q, which has number %d too", one.Source, one.TransactionID, first))
				one.TransactionID = ""
			} else if one.TransactionID != "" {
				numberOf[one.TransactionID] = number
			}
			r.Numbers = append(r.Numbers, one)
		}
	}
	all := make([]Recollection, 0, len(found))
	for _, slot := range slices.SortedFunc(maps.Keys(found), invoice.SlotKey.Compare) {
		all = append(all, *found[slot])
	}
	return all, nil
}

// A claim is the highest number of a slot, and where that stands.
type claim struct {
	number        int64
	source, place string
}

// agree returns what two that remember the same number know together.
func agree(before, other postgres.Reserved) postgres.Reserved {
	switch before.TransactionID {
	case other.TransactionID:
	case "": // two have it already
		before.Source = brief(fmt.Sprintf("%s, %q (%s)", before.Source, other.TransactionID, other.Source))
	default:
		before.Source = brief(fmt.Sprintf("given twice: to %q (%s), %q (%s)", before.TransactionID, before.Source, other.TransactionID, other.Source))
		before.TransactionID, before.Date = "", max(before.Date, other.Date)
	}
	return before
}

// brief cuts a source to what the database takes.
func brief(source string) string {
	const most = 500
	if len(source) <= most {
		return source
	}
	return strings.ToValidUTF8(source[:most-3], "") + "…"
}

// doneEntries hands over each done entry of an issuer whose number is known.
func doneEntries(ctx context.Context, rdb redis.UniversalClient, databaseID, issuer string, each func(invoice.Ref, invoice.Numbered)) error {
	pattern := "invoicer:" + databaseID + ":done:{*"
	if issuer != "" {
		pattern = "invoicer:" + databaseID + ":done:" + issuer + ":{*"
	}
	var mu sync.Mutex
	scan := func(ctx context.Context, node redis.Cmdable) error {
		for cursor := uint64(0); ; {
			names, next, err := node.Scan(ctx, cursor, pattern, 1000).Result()
			if err != nil {
				return err
			}
			values := make([]*redis.StringCmd, len(names))
			_, err = node.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i, name := range names {
					values[i] = p.Get(ctx, name)
				}
				return nil
			})
			if answer := redis.Error(nil); err != nil && !errors.As(err, &answer) {
				return err
			}
			mu.Lock()
			for _, value := range values {
				// One that has expired meanwhile, or isn't text, says nothing.
				if ref, n, ok := worker.DecodeDone(value.Val()); ok && n.Known() {
					each(ref, n)
				}
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	var err error
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) })
	} else {
		err = scan(ctx, rdb)
	}
	if err != nil {
		return fmt.Errorf("done entries: %w", err)
	}
	return nil
}
