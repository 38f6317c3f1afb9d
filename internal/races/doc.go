// Package races tells when a producer's duplicates jump or drift: when one window of five minutes, or many together, have more
// of them than the producer's own history explains. docs/races.md has the statistic's formulas, sources and what a simulation shows.
//
// It only judges. Nothing here refuses a job, or holds one up.
package races
