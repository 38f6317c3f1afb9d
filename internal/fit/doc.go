// Package fit finds how long a cache should keep its entries: for as long as it takes until a wanted share of the late
// requests has come. docs/cache.md says by which statistic, and what it assumes.
//
// A [Fitter] looks now and then, and moves the time in small steps. A time that doesn't fit costs reads of the database,
// and nothing else.
package fit
