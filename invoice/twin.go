package invoice

import (
	"crypto/sha256"
	"encoding/binary"
)

// ContentHash is equal for two valid jobs that ask for the same lines, in the same currency, for the same customer: for twins,
// as a form makes them that is sent twice with a new id each time. Ids, series and times aren't part of it. It is 0 for a job
// that names no customer, since sales over the counter are often alike.
func (j *Job) ContentHash() int64 {
	if j.CustomerID == "" && j.CustomerName == "" {
		return 0
	}
	b := make([]byte, 0, 128+64*len(j.Lines))
	for _, field := range []string{j.CustomerID, j.CustomerName, j.Country, j.Currency} {
		b = appendField(b, field)
	}
	hash := sha256.Sum256(appendLines(b, j.Lines))
	return max(1, int64(binary.BigEndian.Uint64(hash[:8])>>1))
}
