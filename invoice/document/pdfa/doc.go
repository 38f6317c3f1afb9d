// Package pdfa writes PDF/A-3b files (ISO 19005-3): pages of text, lines and pictures with all fonts embedded, tagged for screen readers,
// with files attached to them.
//
// The same calls give the same bytes: nothing is read from the clock, and the file's identifier is a hash of its content. It is written
// in one pass, with object streams, and knows nothing of invoices.
//
// Why not a library: those that can be had write neither tags, nor associated files, nor a file identifier, and read each font anew for
// each document, which takes longer than all the rest.
package pdfa
