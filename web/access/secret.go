package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"regexp"
)

// secretBytes is the number of random bytes of a token. 24 can't be guessed, however many guesses are allowed.
const secretBytes = 24

// NewSecret returns a new random token: one word of A-Z a-z 0-9 _ - that begins with invoicer_, by which tools that look for leaked
// secrets can find it.
func NewSecret() string {
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails
	return "invoicer_" + base64.RawURLEncoding.EncodeToString(random)
}

// HashOf returns what is kept in a token's place: the SHA-256 of one that shows all issuers, and the SHA-512/256 of one that is limited to
// some. A worker of a release that knows no limited tokens takes whatever has the SHA-256 that is kept, and would show it all issuers.
// Nobody finds a text whose SHA-256 is a given SHA-512/256. With a prefix in place of another function, the holder of a limited token could
// show that worker the token with the prefix.
func HashOf(secret string, limited bool) [sha256.Size]byte {
	if limited {
		return sha512.Sum512_256([]byte(secret))
	}
	return sha256.Sum256([]byte(secret))
}

// NameRule says what [IsName] accepts.
const NameRule = "a token's name has 1 to 64 characters of A-Z a-z 0-9 . _ : / @ + = - and is not " + LocalName

// IsName reports whether a token may have the name.
func IsName(name string) bool {
	return name != LocalName && regexp.MustCompile(`^[A-Za-z0-9._:/@+=-]{1,64}$`).MatchString(name)
}
