package term

// WriteNarrow writes a table as on a terminal that is too narrow for it.
var WriteNarrow = writeNarrow
