package s3

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
)

// A request is what AWS's Signature Version 4 signs of one.
type request struct {
	method  string
	path    string            // escaped, with / at its begin
	query   string            // sorted and escaped
	headers map[string]string // by lower-case name, host among them
	payload string            // the SHA-256 of the body in hex
}

const algorithm, stamp = "AWS4-HMAC-SHA256", "20060102T150405Z"

// authorization returns the header that signs the request.
func (r *request) authorization(keys Keys, region, service string, at time.Time) string {
	at = at.UTC()
	names := slices.Sorted(maps.Keys(r.headers))
	var canonical strings.Builder
	canonical.WriteString(r.method + "\n" + r.path + "\n" + r.query + "\n")
	for _, name := range names {
		canonical.WriteString(name + ":" + strings.Join(strings.Fields(r.headers[name]), " ") + "\n")
	}
	signed := strings.Join(names, ";")
	canonical.WriteString("\n" + signed + "\n" + r.payload)

	scope := at.Format("20060102") + "/" + region + "/" + service + "/aws4_request"
	text := algorithm + "\n" + at.Format(stamp) + "\n" + scope + "\n" + hashed([]byte(canonical.String()))
	key := []byte("AWS4" + keys.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = keyed(key, part)
	}
	return algorithm + " Credential=" + keys.ID + "/" + scope + ", SignedHeaders=" + signed + ", Signature=" + hex.EncodeToString(keyed(key, text))
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hashed(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// escaped is a path as the signature wants it: all bytes are escaped but unreserved ones and /.
func escaped(path string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; strings.IndexByte(unreserved, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
