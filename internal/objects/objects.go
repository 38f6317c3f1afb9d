// Package objects keeps the bytes of documents outside of the database: in a folder, or in a bucket of S3 or a service like it. An object's place is
// its whole address, which stays what it is whatever is configured later; it has the bytes' SHA-256, and nothing that says whose they are.
package objects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"invoicer/internal/s3"
)

// Options say where objects are kept.
type Options struct {
	// Store is where new ones go: folder:/path, or s3://bucket or s3://bucket/prefix. Default: nowhere, those that are there are read.
	Store string
	// S3 says how buckets are reached. Default: they can't be.
	S3 *s3.Options
}

// A Keeper keeps objects. It is safe for concurrent use.
type Keeper struct {
	store string
	s3    *s3.Client // nil if buckets can't be reached
}

const (
	folderScheme = "folder:"
	bucketScheme = "s3://"
)

var (
	// ErrNone says that there is no such object.
	ErrNone = errors.New("there is no such object")
	// ErrUnset says that the settings don't say how an object's place is reached.
	ErrUnset = errors.New("documents.s3.endpoint, documents.s3.access_key and documents.s3.secret_key aren't set, by which it is reached")

	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixName = regexp.MustCompile(`^[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*$`)
	objectName = regexp.MustCompile(`^([0-9a-f]{2})/[1-9][0-9]*-([0-9a-f]{64})$`)
)

// CheckStore returns what is wrong with the name of a store, as the end of a sentence.
func CheckStore(store string) error {
	if path, ok := strings.CutPrefix(store, folderScheme); ok {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" || len(path) > 1000 || strings.ContainsAny(path, `*?[\`) {
			return errors.New("names no folder: write folder: and an absolute path without . or .. and without * ? [ and \\ in it, and without a / at its end")
		}
		return nil
	}
	if at, ok := strings.CutPrefix(store, bucketScheme); ok {
		bucket, prefix, has := strings.Cut(at, "/")
		if !bucketName.MatchString(bucket) || strings.Contains(bucket, "..") {
			return errors.New("names no bucket: write s3://bucket or s3://bucket/prefix, the bucket in lower case")
		}
		if has && (!prefixName.MatchString(prefix) || strings.Contains("/"+prefix+"/", "/./") || strings.Contains("/"+prefix+"/", "/../") || len(prefix) > 500) {
			return errors.New("has a prefix that isn't letters, digits and _ - . with single / between, and none at its end")
		}
		return nil
	}
	return errors.New("is neither database, nor folder:/path, nor s3://bucket/prefix")
}

// New returns a keeper, without looking at any place.
func New(o Options) (*Keeper, error) {
	k := &Keeper{store: o.Store}
	if o.Store != "" {
		if err := CheckStore(o.Store); err != nil {
			return nil, fmt.Errorf("%q %w", o.Store, err)
		}
	}
	if o.S3 != nil {
		client, err := s3.New(*o.S3)
		if err != nil {
			return nil, err
		}
		k.s3 = client
	}
	return k, nil
}

// Place returns where a document of an invoice with that hash goes, "" if new ones go nowhere.
func (k *Keeper) Place(invoiceID int64, hash [sha256.Size]byte) string {
	if k.store == "" {
		return ""
	}
	name := hex.EncodeToString(hash[:])
	return fmt.Sprintf("%s/%s/%d-%s", k.store, name[:2], invoiceID, name)
}

// split returns a place's store and the object's name in it. A place that no document can have is an error: nothing else is ever read or deleted.
func split(place string) (store, name string, err error) {
	if cut := strings.LastIndexByte(place, '/'); cut > 0 {
		if cut = strings.LastIndexByte(place[:cut], '/'); cut > 0 {
			store, name = place[:cut], place[cut+1:]
		}
	}
	parts := objectName.FindStringSubmatch(name)
	if parts == nil || !strings.HasPrefix(parts[2], parts[1]) {
		return "", "", fmt.Errorf("%q is no place of a document", place)
	}
	if err := CheckStore(store); err != nil {
		return "", "", fmt.Errorf("%q is no place of a document: its store %w", place, err)
	}
	return store, name, nil
}

// room is where the objects of a store are.
type room interface {
	put(ctx context.Context, name string, content []byte, used Used) error
	open(ctx context.Context, name string) (io.ReadCloser, error)
	remove(ctx context.Context, name string) error
	check(ctx context.Context, used Used) error
}

func (k *Keeper) room(store string) (room, error) {
	if path, ok := strings.CutPrefix(store, folderScheme); ok {
		return folder{path}, nil
	}
	if k.s3 == nil {
		return nil, ErrUnset
	}
	name, prefix, _ := strings.Cut(strings.TrimPrefix(store, bucketScheme), "/")
	if prefix != "" {
		prefix += "/"
	}
	return bucket{k.s3, name, prefix}, nil
}

func (k *Keeper) at(place string) (in room, name string, err error) {
	store, name, err := split(place)
	if err != nil {
		return nil, "", err
	}
	in, err = k.room(store)
	return in, name, err
}

// Used reports whether objects of a store are on record: documents, or what is still to be deleted there.
type Used = func(ctx context.Context, store string) (bool, error)

// Put writes an object to its place, and returns once it lasts. An object that is there has the same bytes, if its place's hash is theirs: what is
// written over it changes nothing. An empty folder gets its first object only if no object of it is on record: else the folder isn't mounted.
func (k *Keeper) Put(ctx context.Context, place string, content []byte, used Used) error {
	in, name, err := k.at(place)
	if err == nil {
		if sum := sha256.Sum256(content); !strings.HasSuffix(name, "-"+hex.EncodeToString(sum[:])) {
			return fmt.Errorf("%s: isn't the place of these bytes", place)
		}
		err = in.put(ctx, name, content, used)
	}
	return placed(place, err)
}

// Open returns the bytes of an object, which nobody has compared with its hash yet; whoever calls it closes them. It returns [ErrNone] if it isn't
// there, and [ErrUnset] if the settings don't say how its place is reached.
func (k *Keeper) Open(ctx context.Context, place string) (io.ReadCloser, error) {
	in, name, err := k.at(place)
	if err != nil {
		return nil, placed(place, err)
	}
	content, err := in.open(ctx, name)
	return content, placed(place, err)
}

// Delete deletes an object for good. It is no error if it isn't there, but it is one if its store isn't.
func (k *Keeper) Delete(ctx context.Context, place string) error {
	in, name, err := k.at(place)
	if err == nil {
		err = in.remove(ctx, name)
	}
	return placed(place, err)
}

// Check reports why the store can't be used as things are, nil where new objects go nowhere. It begins no folder, and leaves nothing there.
func (k *Keeper) Check(ctx context.Context, used Used) error {
	if k.store == "" {
		return nil
	}
	in, err := k.room(k.store)
	if err == nil {
		err = in.check(ctx, used)
	}
	return placed(k.store, err)
}

func placed(place string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", place, err)
}
