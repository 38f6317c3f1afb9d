package objects

import (
	"context"
	"errors"
	"io"

	"invoicer/internal/s3"
)

// A bucket is one of S3, with what all names in it begin with.
type bucket struct {
	client       *s3.Client
	name, prefix string
}

func (b bucket) put(ctx context.Context, name string, content []byte, _ Used) error {
	err := b.client.Put(ctx, b.name, b.prefix+name, content)
	if !errors.Is(err, s3.ErrExists) {
		return err
	}
	there, err := b.open(ctx, name)
	if err != nil {
		return err
	}
	return same(there, content)
}

func (b bucket) open(ctx context.Context, name string) (io.ReadCloser, error) {
	content, err := b.client.Get(ctx, b.name, b.prefix+name)
	if errors.Is(err, s3.ErrNone) {
		return nil, ErrNone
	}
	return content, err
}

func (b bucket) remove(ctx context.Context, name string) error {
	return b.client.Delete(ctx, b.name, b.prefix+name)
}

func (b bucket) check(ctx context.Context, _ Used) error {
	_, err := b.client.Head(ctx, b.name, "")
	return err
}
