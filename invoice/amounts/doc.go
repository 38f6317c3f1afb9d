// Package amounts computes the amounts of a document from its lines, allowances, charges and taxes, at prices without or with tax.
//
// It is pure arithmetic: it knows decimal numbers and how many decimals a currency has, and nothing of jobs, numbers or databases.
//
// # What is computed
//
// All intermediate results are exact, and each amount is rounded once, half away from zero, to the currency's minor unit.
//
// A line comes to quantity × unit price / base quantity × (1 − discount percent/100) − discount amount + charge amount. That is its
// net, or, with prices that contain the taxes, its gross.
//
// Lines, allowances and charges with the same mode of prices and the same list of taxes form a group. With its taxes' percentages p,
// a group has the effective rates e: each is p, or p × (1 + the e before it) for a compound tax. Their sum is r.
//
//   - The taxes of a net group are its net × e, not rounded.
//   - A gross group contains a tax of gross × r/(1 + r), rounded, which is shared over the e; the rest is its net, which is shared over
//     its lines, allowances and charges, in this order, each around its own gross/(1 + r).
//   - The tax of a code, category and percentage is the sum of the net groups' taxes, rounded once, and of the gross groups' shares.
//
// An allowance or charge without taxes is shared over the groups with lines of its mode, in proportion to what their lines come to.
//
// # Sharing
//
// An amount is shared by largest remainder: each part is rounded down, and what is left goes, one minor unit each, to the parts that
// lost most, of equal ones to the first in the job's order. A part that is 0 gets nothing, unless all are 0. Parts that sum to less than zero, or to zero while the first that isn't
// zero is below it, are shared with their signs turned, and turned back. So turning the sign of all amounts turns that of all results.
//
// # Taxes that are given
//
// A tax service's amount takes the place of the computed one, if it differs by no more than one minor unit for each line of that rate.
// The difference is shared over the groups with that rate in proportion to the number of their lines. In a net group it changes the
// tax and with it the total; in a gross group the total stays, and the net gives way: what then is more or less to be shared over its
// lines, allowances and charges than their own nets is shared evenly.
package amounts
