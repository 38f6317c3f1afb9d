//go:build !race

package document_test

// raceDetector says whether the tests were built with it.
const raceDetector = false
