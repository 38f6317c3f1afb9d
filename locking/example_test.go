package locking_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/locking"
)

// A customer's card is charged once, however often the shop asks for it.
func ExampleLock_Finish() {
	client := exampleClient() // redis.NewClient(&redis.Options{Addr: "…", ContextTimeoutEnabled: true})
	defer client.Close()
	payments, err := locking.New(client, locking.Options{Prefix: "payments:", TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}

	charge := func(ctx context.Context, order, request string) (receipt string, err error) {
		lock, err := payments.Acquire(ctx, order, locking.Holder{ID: request, Worker: "till 3"})
		if done, ok := errors.AsType[*locking.DoneError](err); ok {
			return done.Value, nil
		}
		if err != nil {
			return "", err
		}
		fmt.Println("charging the card for", order)
		receipt = "receipt 4711" // from the payment provider, who was given the order as its idempotency key

		// The charge stands, even if the shop has given up asking.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := lock.Finish(ctx, receipt, 24*time.Hour); err != nil {
			log.Print(err) // at worst the next one asks the provider again
		}
		return receipt, nil
	}

	for _, request := range []string{"request-1", "request-2"} {
		receipt, err := charge(context.Background(), "order-17", request)
		fmt.Println(receipt, err)
	}
	// Output:
	// charging the card for order-17
	// receipt 4711 <nil>
	// receipt 4711 <nil>
}

// Two carts reach for the same seat. The one that has it may crash and come back, the other has to choose another.
func ExampleLocker_Acquire() {
	client := exampleClient()
	defer client.Close()
	seats, err := locking.New(client, locking.Options{Prefix: "seats:", TTL: 10 * time.Minute, MaxTTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	reserve := func(cart, server string) *locking.Lock {
		lock, err := seats.Acquire(ctx, "row 5, seat 12", locking.Holder{ID: cart, Worker: server})
		if held, ok := errors.AsType[*locking.HeldError](err); ok {
			fmt.Printf("%s: taken by %s, %.0f minutes left\n", cart, held.Holder.ID, held.Remaining.Minutes())
			return nil
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: reserved on %s\n", cart, server)
		return lock
	}

	crashed := reserve("cart-a", "server-1")
	reserve("cart-b", "server-2")
	restarted := reserve("cart-a", "server-2")

	fmt.Println("void:", errors.Is(crashed.Release(ctx), locking.ErrLost))
	fmt.Println("paid:", restarted.Extend(ctx, time.Hour) == nil)
	reserve("cart-b", "server-2")
	fmt.Println("back on sale:", restarted.Release(ctx) == nil)
	reserve("cart-b", "server-2")
	// Output:
	// cart-a: reserved on server-1
	// cart-b: taken by cart-a, 10 minutes left
	// cart-a: reserved on server-2
	// void: true
	// paid: true
	// cart-b: taken by cart-a, 60 minutes left
	// back on sale: true
	// cart-b: reserved on server-2
}

// A worker that doesn't know how long its work takes extends its lock as it goes, and stops when it has lost it.
func ExampleLock_Extend() {
	client := exampleClient()
	defer client.Close()
	imports, err := locking.New(client, locking.Options{Prefix: "imports:", TTL: 30 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	lock, err := imports.Acquire(ctx, "price list", locking.Holder{ID: "nightly import", Worker: "cron"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := lock.Release(ctx); err != nil {
			log.Print(err)
		}
	}()

	for page := range 3 {
		if err := lock.Extend(ctx, 30*time.Second); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("page", page)
	}
	// Output:
	// page 0
	// page 1
	// page 2
}

func exampleClient() *redis.Client {
	opts, err := redis.ParseURL(exampleURL)
	if err != nil {
		log.Fatal(err)
	}
	opts.ContextTimeoutEnabled = true
	return redis.NewClient(opts)
}
