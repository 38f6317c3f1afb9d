package invoice

import "invoicer/invoice/decimal"

const (
	// MaxPayload is the largest size of a job's JSON, in bytes, in any version of the format.
	MaxPayload = 2 << 20

	// MaxLines is the largest number of lines in a job, in any version of the format.
	MaxLines = 20_000
)

// limits are what a version of the format allows.
type limits struct {
	payload int // bytes of JSON
	lines   int
	numbers decimal.Bounds // of quantities and prices; percentages have as many decimals
}

func version1() limits {
	return limits{payload: 1 << 20, lines: 5000, numbers: bounds1}
}

// limitsOf returns the limits of a version.
func limitsOf(version int) limits {
	if version <= 1 {
		return version1()
	}
	return limits{payload: MaxPayload, lines: MaxLines, numbers: decimal.Widest()}
}
