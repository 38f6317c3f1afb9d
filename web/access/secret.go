package access

import (
	"crypto/rand"
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

// NameRule says what [IsName] accepts.
const NameRule = "a token's name has 1 to 64 characters of A-Z a-z 0-9 . _ : / @ + = - and is not " + LocalName

// IsName reports whether a token may have the name.
func IsName(name string) bool {
	return name != LocalName && regexp.MustCompile(`^[A-Za-z0-9._:/@+=-]{1,64}$`).MatchString(name)
}
