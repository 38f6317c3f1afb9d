// Package races tells when a producer's duplicates jump: when one window of five minutes has more of them than the
// producer's own history explains. docs/races.md has the statistic's formulas, sources and what a simulation shows.
//
// It only judges. Nothing here refuses a job, or holds one up.
package races
